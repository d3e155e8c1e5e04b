"""A sweep as a list of cells: each a variant of the base config with a seed, and a folder of its own."""

import copy
import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.runs.workdir import Workdir, complete, write_json
from transformer.spec import Spec

Config = Mapping[str, dict[str, Any]]  # section → key → value


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
      variant: its name.
      seed: its train.seed.
      spec: its settings.
      path: its folder, a run's.
    """

    variant: str
    seed: int
    spec: Spec
    path: pathlib.Path

    @property
    def name(self) -> str:
        """Unique in the sweep, and fit for a file's name."""
        return f"{folder_name(self.variant)}-{self.seed}"

    @property
    def result(self) -> pathlib.Path:
        """The file that says that the cell is done and measured."""
        return Workdir(self.path).result

    @property
    def failed(self) -> pathlib.Path:
        """The file that says why the cell could not be done."""
        return self.path.with_suffix(".failed.txt")

    @property
    def log(self) -> pathlib.Path:
        """What its process has printed."""
        return self.path.with_suffix(".log")

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.result.exists() or self.failed.exists()

    def fail(self, why: str) -> None:
        """Records that the cell cannot be done."""
        self.failed.parent.mkdir(parents=True, exist_ok=True)
        self.failed.write_text(why + "\n", encoding="utf-8")


def expand(
    base: Config, sweep: Mapping[str, Mapping[str, Any]], seeds: Sequence[int], folder: pathlib.Path
) -> list[Cell]:
    """Every variant with every seed; the first seed of all variants comes first, so that an early look has them all.

    Raises:
      ValueError: a variant changes a key that there is not, or makes no sense; the message names it.
    """
    cells = []
    for seed in seeds:
        for variant, changes in sweep.items():
            spec = changed(base, f"variant {variant!r}", {**changes, "train.seed": seed})
            cells.append(Cell(variant, seed, spec, folder / folder_name(variant) / f"seed{seed}"))
    paths = [cell.path for cell in cells]
    twice = {str(path) for path in paths if paths.count(path) > 1}
    if twice:
        raise ValueError(f"two variants would share a folder: {', '.join(sorted(twice))}")
    return cells


def changed(base: Config, name: str, changes: Mapping[str, Any]) -> Spec:
    """The settings of `base` with some changed, by dotted key.

    Raises:
      ValueError: a key that there is not, or settings that make no sense; the message begins with `name`.
    """
    config = copy.deepcopy(dict(base))
    for key, value in changes.items():
        section, _, setting = key.partition(".")
        if section not in config or setting not in config[section]:
            raise ValueError(f"{name} changes {key}, which is not a key of the config")
        config[section][setting] = value
    try:
        return Spec.from_config(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def named(cells: Sequence[Cell], pattern: str) -> list[Cell]:
    """Those in whose VARIANT-SEED, as the sweep writes it or as folders are named, a regular expression is found.

    Raises:
      ValueError: it is none, or no cell has such a name.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"--only={pattern}: no regular expression: {error}") from error
    found = [cell for cell in cells if search(cell.name) or search(f"{cell.variant}-{cell.seed}")]
    if not found:
        raise ValueError(f"--only={pattern}: no cell of {len(cells)} has such a name")
    return found


def folder_name(variant: str) -> str:
    """The folder of a variant's cells: its name, fit for a file system."""
    return re.sub(r"[^\w=.+-]+", "_", variant) or "base"


def begin(
    folder: pathlib.Path, base: Config, sweep: Mapping[str, Mapping[str, Any]], published: Mapping[str, Any]
) -> None:
    """Writes sweep.json: the base and the variants, in their order; what the report needs beside the cells.

    Raises:
      ValueError: the folder holds a sweep of another base, or of variants of the same names that are others.
    """
    path = folder / "sweep.json"
    content: dict[str, Any] = {"base": base, "variants": dict(sweep), "published": dict(published)}
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        if complete(there["base"]) != json.loads(json.dumps(content["base"])):
            raise ValueError(f"{folder} holds a sweep of another base config; choose another --workdir")
        for name, changes in there["variants"].items():
            if name in sweep and changes != json.loads(json.dumps(sweep[name])):
                raise ValueError(f"{folder} holds a sweep whose variant {name!r} is another: {changes}")
        content["variants"] = there["variants"] | content["variants"]
        content["published"] = there["published"] | content["published"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
