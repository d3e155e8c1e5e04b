"""A sweep as a list of cells: each is a variant of the base config with one seed, in a separate folder."""

import copy
import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.runs.workdir import Workdir, fill_defaults, write_json
from transformer.section import did_you_mean
from transformer.spec import Spec

_OF_MACHINE = ("directory", "raw_directory", "prepared", "workers", "prefetch", "examine")  # keys of `data`

Config = Mapping[str, dict[str, Any]]  # section → key → value
Variants = Mapping[str, Mapping[str, Any]]  # variant → its changes of the base config, by dotted key


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep: a variant with one seed, its settings and its folder."""

    variant: str
    seed: int
    spec: Spec
    path: pathlib.Path

    @property
    def name(self) -> str:
        """VARIANT-SEED, unique in the sweep; valid as a file name."""
        return f"{folder_name(self.variant)}-{self.seed}"

    @property
    def result(self) -> pathlib.Path:
        """The result file, which exists once the cell is trained and scored."""
        return Workdir(self.path).result

    @property
    def failed(self) -> pathlib.Path:
        """The file with the reason of a failure, which exists if the cell has failed."""
        return self.path.with_suffix(".failed.txt")

    @property
    def log(self) -> pathlib.Path:
        """The output of the cell's process."""
        return self.path.with_suffix(".log")

    @property
    def finished(self) -> bool:
        """Whether the cell has a result or has failed."""
        return self.result.exists() or self.failed.exists()

    def mark_failed(self, reason: str) -> None:
        """Records that the cell has failed."""
        self.failed.parent.mkdir(parents=True, exist_ok=True)
        self.failed.write_text(reason + "\n", encoding="utf-8")


def expand(base: Config, sweep: Variants, seeds: Sequence[int], folder: pathlib.Path) -> list[Cell]:
    """Returns the cells of all variants and seeds; all variants of the first seed come first.

    Raises:
      ValueError: a variant changes an unknown key or has invalid settings; the message names it.
    """
    cells = []
    for seed in seeds:
        for variant, changes in sweep.items():
            spec = apply_changes(base, f"variant {variant!r}", {**changes, "train.seed": seed})
            cells.append(Cell(variant, seed, spec, folder / folder_name(variant) / f"seed{seed}"))
    paths = [cell.path for cell in cells]
    duplicates = {str(path) for path in paths if paths.count(path) > 1}
    if duplicates:
        raise ValueError(f"two variants would share a folder: {', '.join(sorted(duplicates))}")
    return cells


def apply_changes(base: Config, name: str, changes: Mapping[str, Any]) -> Spec:
    """Returns the settings of `base` with changes by dotted key.

    Raises:
      ValueError: an unknown key, or invalid settings; the message begins with `name`.
    """
    config = copy.deepcopy(dict(base))
    for key, value in changes.items():
        section, _, setting = key.partition(".")
        if section not in config or setting not in config[section]:
            keys = [f"{section}.{setting}" for section, settings in config.items() for setting in settings]
            guess = did_you_mean(key, keys)
            raise ValueError(f"{name} changes {key}, which is not a key of the config{guess}")
        config[section][setting] = value
    try:
        return Spec.from_config(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def without_machine(config: Config) -> Config:
    """Returns a config with defaults for the settings of a machine: folders, devices, processes.

    A result does not depend on them except for rounding, so that another machine can continue a sweep.
    """
    data = {key: value for key, value in config["data"].items() if key not in _OF_MACHINE}
    return fill_defaults({**config, "data": data, "parallel": {}})


def select(cells: Sequence[Cell], pattern: str) -> list[Cell]:
    """Returns the cells whose VARIANT-SEED, as in the sweep file or as in folder names, matches a regular expression.

    Raises:
      ValueError: the pattern is not a regular expression, or no cell matches.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"--only={pattern}: not a regular expression: {error}") from error
    selected = [cell for cell in cells if search(cell.name) or search(f"{cell.variant}-{cell.seed}")]
    if not selected:
        raise ValueError(f"--only={pattern}: matches none of {len(cells)} cells; --dry_run lists them")
    return selected


def folder_name(variant: str) -> str:
    """Returns the name of the folder of a variant's cells: the variant's name without special characters."""
    return re.sub(r"[^\w=.+-]+", "_", variant) or "base"


def create_or_check(folder: pathlib.Path, base: Config, sweep: Variants, published: Mapping[str, Any]) -> None:
    """Writes sweep.json: the base, the variants in their order, and their published scores, for the report.

    New variants are added to those of an existing file.

    Raises:
      ValueError: the folder holds a sweep with another base, or a variant of the same name with other changes.
    """
    path = folder / "sweep.json"
    content: dict[str, Any] = {"base": base, "variants": dict(sweep), "published": dict(published)}
    if path.exists():
        existing = json.loads(path.read_text(encoding="utf-8"))
        if fill_defaults(existing["base"]) != json.loads(json.dumps(content["base"])):
            raise ValueError(f"{folder} holds a sweep of another base config; choose another folder")
        for name, changes in existing["variants"].items():
            if name in sweep and changes != json.loads(json.dumps(sweep[name])):
                raise ValueError(f"{folder} holds a sweep whose variant {name!r} has other changes: {changes}")
        content["variants"] = existing["variants"] | content["variants"]
        content["published"] = existing["published"] | content["published"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
