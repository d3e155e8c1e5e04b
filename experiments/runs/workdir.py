"""The folder of a run: its config, versions, checkpoints, metrics and translations."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from configs import base
from experiments.runtime import leases
from transformer import atomic_file, storage
from transformer.section import did_you_mean
from transformer.spec import Spec
from transformer.training import manifest, metrics

# Settings that may differ when a run is continued: they affect speed and frequency, not what is learned.
MUTABLE_SETTINGS = (
    "data.directory", "data.raw_directory", "data.prepared", "data.examine", "data.workers", "data.prefetch",
    "model.remat", "model.scan_layers", "train.log_every", "train.trackers", "decode", "evaluate.samples", "parallel",
    "checkpoint.keep",
)  # fmt: skip

_UNSUPPORTED = "[]\\"  # in paths of checkpoints: Orbax takes them as parts of a pattern
_LOCK = "lock"
_EXPIRY = 120.0  # of the lease on the folder, seconds
_POLL = 1.0  # seconds between two attempts to acquire it
_MAX_SKIPPED = 20  # files with the sentences of skipped updates

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "sentencepiece", "sacrebleu", "numpy")


def _flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in config.items() for key, value in keys.items()}


class Workdir:
    """Paths and small files of a run.

    Args:
      path: the folder, on disk or in a bucket; created when the run starts.
      writes: False in processes other than the primary one: they check everything and write nothing.
    """

    def __init__(self, path: str | pathlib.Path, writes: bool = True) -> None:
        self.path = storage.path(path)
        self.writes = writes
        self.config = self.path / "config.json"
        self.tokenizer = self.path / "tokenizer.model"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.path / "best"
        self.figures = self.path / "figures"
        self.result = self.path / "result.json"
        self.metrics = self.path / "metrics.jsonl"
        self.goodput = self.path / "goodput.jsonl"
        self.profile = self.path / "profile"

    def create_or_check(self, spec: Spec, allowed: Iterable[str] = ()) -> None:
        """Writes config.json; checks it first if the folder already holds a run.

        Raises:
          ValueError: the folder holds a run of another config (the message names the differing keys), or other files;
            or its path has characters that checkpoints do not support.
        """
        path = str(self.path.absolute())
        if unsupported := [character for character in _UNSUPPORTED if character in path and character != os.sep]:
            raise ValueError(
                f"--workdir: {path}: Orbax loses checkpoints in a path with {unsupported[0]}; choose another"
            )
        if self.config.exists():
            self._check(spec, (*MUTABLE_SETTINGS, *allowed))
        elif not self.writes:
            raise ValueError(
                f"{self.path}: config.json of the primary process is missing; all processes must share one --workdir"
            )
        elif self.path.exists() and any(path for path in self.path.iterdir() if path.stem != _LOCK):
            raise ValueError(f"{self.path}: not empty, but no run (config.json is missing); choose another --workdir")
        self._write(self.config, spec.to_dict())

    @contextlib.contextmanager
    def opened(self, spec: Spec, allowed: Iterable[str] = ()) -> Iterator[None]:
        """Calls `create_or_check`. If a setting then turns out to be wrong, a new run leaves no files."""
        new = not self.config.exists()
        self.create_or_check(spec, allowed)
        try:
            yield
        except ValueError:
            if new and self.writes:
                for path in (self.config, self.tokenizer):
                    path.unlink(missing_ok=True)
            raise

    def _write(self, path: pathlib.Path, content: Mapping[str, Any]) -> None:
        if self.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, content)

    @contextlib.contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Prevents other processes from training in the folder.

        Args:
          wait: seconds until another process must have released the folder. One that was killed on another host seems
            to hold it for `_EXPIRY`.

        Raises:
          ValueError: another process trains in the folder; the message names it.
        """
        new, end = not self.path.exists(), time.monotonic() + wait
        while (lease := leases.acquire(self.path, _LOCK, _EXPIRY)) is None and time.monotonic() < end:
            time.sleep(_POLL)
        if lease is None:
            holder = leases.holder(self.path, _LOCK, _EXPIRY) or "another process, which has just started"
            raise ValueError(f"{self.path}: another process trains in this folder: {holder}")
        try:
            with lease:
                yield
        finally:
            if new and self.path.exists() and not any(self.path.iterdir()):  # in a bucket, no folder is empty
                self.path.rmdir()

    def check_data(self, vocabulary: str, corpus: str, allowed: Iterable[str] = ()) -> None:
        """Writes the fingerprints of the training data to data.json; checks them first if the file exists.

        Args:
          vocabulary: fingerprint of the tokenizer.
          corpus: fingerprint of the training split.
          allowed: "vocabulary" or "corpus", if it may differ.

        Raises:
          ValueError: a fingerprint differs; the message names it.
        """
        path, current = self.path / "data.json", {"vocabulary": vocabulary, "corpus": corpus}
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else current
        differing = [
            f"{name} (SHA-256 {recorded.get(name, '')[:12]} in the folder, {current[name][:12]} now)"
            for name in current
            if recorded.get(name) != current[name] and name not in allowed
        ]
        if differing:
            raise ValueError(f"{self.path} holds a run of another {' and another '.join(differing)}")
        self._write(path, current)

    def write_skipped_update(self, update: int, content: Mapping[Any, Any]) -> pathlib.Path:
        """Writes the sentences of an update that was skipped, unless there are many such files; returns the path."""
        path = self.path / "nonfinite" / f"{update}.json"
        if not path.parent.exists() or sum(1 for _ in path.parent.iterdir()) < _MAX_SKIPPED:
            self._write(path, content)
        return path

    def _check(self, spec: Spec, allowed: tuple[str, ...]) -> None:
        recorded, current, missing = _flatten(self._read_config()), _flatten(spec.to_dict()), object()
        differing = [
            f"{key} (in the folder {recorded.get(key)!r}, now {current.get(key)!r})"
            for key in sorted(recorded.keys() | current.keys())
            if recorded.get(key, missing) != current.get(key, missing)
            and not any(key == name or key.startswith(f"{name}.") for name in allowed)
        ]
        if differing:
            raise ValueError(f"{self.path} holds a run of another config: {', '.join(differing)}")

    def spec(self) -> Spec:
        """Reads the run's settings.

        Raises:
          FileNotFoundError: the folder holds no run.
          ValueError: its config.json is not valid in this version.
        """
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path}: no run found (config.json is missing){self._nearest_run()}")
        try:
            return Spec.from_config(self._read_config())
        except ValueError as error:
            raise ValueError(f"{self.config}: {error}") from error

    def _nearest_run(self) -> str:
        """Returns the end of an error message: the run whose name is the most like that of this folder."""
        try:
            runs = [folder.name for folder in self.path.parent.iterdir() if (folder / self.config.name).exists()]
        except OSError:
            return ""
        return did_you_mean(self.path.name, runs, f"{self.path.parent}{os.sep}")

    def _read_config(self) -> dict[str, dict[str, Any]]:
        """Reads config.json."""
        return fill_defaults(json.loads(self.config.read_text(encoding="utf-8")))

    def steps(self) -> set[int]:
        """Returns the steps of the checkpoints."""
        return set(manifest.checkpoint_steps(self.checkpoints))

    def evaluations(self, spec: Spec) -> list[dict[str, Any]]:
        """Returns the validation events of metrics.jsonl, without test scores on the same split, which have no loss."""
        split = spec.data.validation_split
        return [event for event in metrics.read(self.path) if event["split"] == split and "loss" in event]

    def devices(self) -> list[str]:
        """Returns the devices that the run used last; empty for a new run."""
        return self._versions().get("devices", [])

    def _versions(self) -> dict[str, Any]:
        path = self.path / "versions.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def pinned(self, origin: str) -> str:
        """Returns `train.init_from` of the hub with the commit that the run started from, if it has started."""
        revision = self._versions().get("pretrained", {}).get(origin)
        return f"{origin.partition('@')[0]}@{revision}" if revision else origin

    def write_versions(self, devices: Iterable[str], pretrained: Mapping[str, str | None]) -> None:
        """Writes the versions of code, packages and pretrained model, and the devices, to versions.json.

        Args:
          devices: names of the devices.
          pretrained: commit of the hub by `train.init_from`; empty: what the file has already.
        """
        versions = {
            "commit": commit(),
            "pretrained": dict(pretrained) or self._versions().get("pretrained", {}),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "devices": list(devices),
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        }
        self._write(self.path / "versions.json", versions)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes result.json, which marks the run as finished and scored."""
        self._write(self.result, result)

    def translations(self, split: str, step: int | str) -> pathlib.Path:
        """Returns the path translations/SPLIT.STEP.txt; the step "reference" stands for the targets of the split."""
        return self.path / "translations" / f"{split}.{step}.txt"

    def write_translations(self, split: str, step: int | str, lines: Iterable[str]) -> pathlib.Path:
        """Writes translations/SPLIT.STEP.txt, one line per translation."""
        path = self.translations(split, step)
        if self.writes:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path


def fill_defaults(config: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Adds missing settings to a recorded config: their base values, which older versions used implicitly."""
    defaults = base.get_config().to_dict()
    filled = {section: {**defaults.get(section, {}), **config.get(section, {})} for section in defaults | dict(config)}
    # Configs without model.score have the old default of model.cross_score, "dot", which None now stands for.
    if "model" in config and "score" not in config["model"] and filled["model"]["cross_score"] == "dot":
        filled["model"]["cross_score"] = None
    return filled


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file atomically."""
    atomic_file.write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def commit() -> str | None:
    """Returns the git commit of the source, with "+" appended if files differ from it; None outside its repository.

    A repository that only contains the source, such as one with a virtual environment, does not count. In a copy made
    by `launch.tpu_vm`, the file `.commit` in the root folder holds the commit.
    """
    root = pathlib.Path(__file__).resolve().parents[2]
    # Without the variables of a hook, which name the repository of the hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*args: str) -> str:
        command = ["git", *args]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, encoding="utf-8", check=True)
        return done.stdout.strip()

    try:
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() == root:
            changes = git("status", "--porcelain", "--untracked-files=no")
            return git("rev-parse", "HEAD") + ("+" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    path = root / ".commit"
    return (path.read_text(encoding="utf-8").strip() or None) if path.exists() else None
