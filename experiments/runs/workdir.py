"""The folder of a run: what it was asked to do, with what it was done, and what came out."""

import contextlib
import importlib.metadata
import json
import pathlib
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from configs import base
from experiments.runtime import leases
from transformer.spec import Spec
from transformer.training import manifest

# Settings that may differ when a run is continued: they say how fast or how often, not what is learned.
MAY_CHANGE = (
    "data.directory", "data.raw_directory", "data.prepared", "data.examine", "data.workers", "data.prefetch",
    "train.log_every", "decode", "evaluate.samples", "parallel", "checkpoint.keep",
)  # fmt: skip

_LOCK = "lock"
_EXPIRY = 120.0  # seconds without a sign of life after which a process on another host is taken for dead
_SPOILED = 20  # files at most: sentences of updates that were skipped

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "sentencepiece", "sacrebleu", "numpy")


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in config.items() for key, value in keys.items()}


def _may_change(key: str, allowed: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in allowed)


class Workdir:
    """Paths and small files of a run.

    Args:
      path: the folder; made when the run begins.
      writes: False where another process of the run writes to it: everything is checked, and nothing written.
    """

    def __init__(self, path: str | pathlib.Path, writes: bool = True) -> None:
        self.path = pathlib.Path(path)
        self.writes = writes
        self.config = self.path / "config.json"
        self.tokenizer = self.path / "tokenizer.model"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.path / "best"
        self.figures = self.path / "figures"
        self.result = self.path / "result.json"
        self.metrics = self.path / "metrics.jsonl"

    def begin(self, spec: Spec, allowed: Iterable[str] = ()) -> None:
        """Writes config.json, or checks that the run in the folder is this one.

        Raises:
          ValueError: the folder holds a run of another config (the message names the differing keys), or other files.
        """
        if self.config.exists():
            self._check(spec, (*MAY_CHANGE, *allowed))
        elif not self.writes:
            raise ValueError(
                f"{self.path}: holds no config.json of the run's first process; all processes need to see one --workdir"
            )
        elif self.path.exists() and any(path for path in self.path.iterdir() if path.stem != _LOCK):
            raise ValueError(f"{self.path}: is not empty and holds no config.json of a run; choose another --workdir")
        self._write(self.config, spec.to_dict())

    def _write(self, path: pathlib.Path, content: Mapping[str, Any]) -> None:
        if self.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, content)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process trains in the folder.

        Raises:
          ValueError: one does; the message says which.
        """
        new = not self.path.exists()
        lock = leases.claim(self.path, _LOCK, _EXPIRY)
        if lock is None:
            owner = leases.owner(self.path, _LOCK, _EXPIRY) or "another process, which has just begun"
            raise ValueError(f"{self.path}: a run is being trained here by {owner}")
        try:
            with lock:
                yield
        finally:
            if new and not any(self.path.iterdir()):
                self.path.rmdir()

    def begin_with(self, vocabulary: str, corpus: str, allowed: Iterable[str] = ()) -> None:
        """Writes to data.json what the run learns from, or checks that it is what the run in the folder learnt from.

        Args:
          vocabulary: fingerprint of the tokenizer.
          corpus: fingerprint of the training split.
          allowed: "vocabulary" or "corpus", if it may be another.

        Raises:
          ValueError: it is not (the message names which).
        """
        path, here = self.path / "data.json", {"vocabulary": vocabulary, "corpus": corpus}
        there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else here
        differing = [
            f"{name} (SHA-256 {there.get(name, '')[:12]} there, {here[name][:12]} here)"
            for name in here
            if there.get(name) != here[name] and name not in allowed
        ]
        if differing:
            raise ValueError(f"{self.path} holds a run of another {' and another '.join(differing)}")
        self._write(path, here)

    def spoil(self, update: int, content: Mapping[Any, Any]) -> pathlib.Path:
        """Writes what an update was made of that was skipped, unless there are many such files; returns the path."""
        path = self.path / "nonfinite" / f"{update}.json"
        if not path.parent.exists() or sum(1 for _ in path.parent.iterdir()) < _SPOILED:
            self._write(path, content)
        return path

    def _check(self, spec: Spec, allowed: tuple[str, ...]) -> None:
        there, here = _flat(self._kept_config()), _flat(spec.to_dict())
        missing = object()
        differing = [
            f"{key} (there {there.get(key)!r}, here {here.get(key)!r})"
            for key in sorted(there.keys() | here.keys())
            if there.get(key, missing) != here.get(key, missing) and not _may_change(key, allowed)
        ]
        if differing:
            raise ValueError(f"{self.path} holds a run of another config: {', '.join(differing)}")

    def spec(self) -> Spec:
        """The run's settings.

        Raises:
          FileNotFoundError: there is no run in the folder.
          ValueError: its config.json does not fit this version.
        """
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path}: no run here (config.json is missing)")
        try:
            return Spec.from_config(self._kept_config())
        except ValueError as error:
            raise ValueError(f"{self.config}: {error}") from error

    def _kept_config(self) -> dict[str, dict[str, Any]]:
        """What config.json says."""
        return complete(json.loads(self.config.read_text(encoding="utf-8")))

    def steps(self) -> set[int]:
        """Steps there are checkpoints of."""
        return set(manifest.steps(self.checkpoints))

    def devices(self) -> list[str]:
        """What the run in the folder was last done with; empty for a new one."""
        path = self.path / "versions.json"
        return json.loads(path.read_text(encoding="utf-8"))["devices"] if path.exists() else []

    def write_versions(self, devices: Iterable[str]) -> None:
        """Records in versions.json what the run is done with."""
        versions = {
            "commit": commit(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "devices": list(devices),
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        }
        self._write(self.path / "versions.json", versions)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes result.json, the sign that a run is done and measured."""
        self._write(self.result, result)

    def translations(self, split: str, step: int | str) -> pathlib.Path:
        """The file translations/SPLIT.STEP.txt; "reference" in place of a step has what the split's own targets are."""
        return self.path / "translations" / f"{split}.{step}.txt"

    def write_translations(self, split: str, step: int | str, lines: Iterable[str]) -> pathlib.Path:
        """Writes translations/SPLIT.STEP.txt, a line each."""
        path = self.translations(split, step)
        if self.writes:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path


def complete(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A config that was written down. A setting it does not know yet has its base value: what was done before it."""
    usual = base.get_config().to_dict()
    return {section: {**usual.get(section, {}), **kept.get(section, {})} for section in usual | dict(kept)}


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a file; who is cut off here leaves the old content and not half of the new."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def commit() -> str:
    """The source's git commit, with "+" where files differ from it; "unknown" outside a repository.

    Where `launch.tpu_vm` copied the source to, the file `.commit` says it.
    """
    root = pathlib.Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        noted = root.parent / ".commit"
        return noted.read_text(encoding="utf-8").strip() if noted.exists() else "unknown"
    return head.stdout.strip() + ("+" if status.stdout.strip() else "")
