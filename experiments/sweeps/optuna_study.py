"""Where a search keeps its trials, and how it draws and judges them."""

import contextlib
import json
import os
import pathlib
import uuid
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.runs.workdir import complete, write_json

if TYPE_CHECKING:
    import optuna

DIRECTIONS = {"bleu": "maximize", "loss": "minimize"}  # metrics of validation
_UNPRUNED = 4  # trials that are always trained to their end: a median of fewer says little


class Place(NamedTuple):
    """What each process of a search needs to open its study.

    Attributes:
      folder: of the search.
      storage: "sqlite", "journal" or a URL.
      name: of the study, for a database may hold several.
      metric: of validation.
      prune: whether hopeless trials are given up.
    """

    folder: pathlib.Path
    storage: str
    name: str
    metric: str
    prune: bool

    def study(self) -> "optuna.Study":
        """The study, made if there is none."""
        import optuna

        path = self.folder.absolute() / "study"  # absolute: the journal's lock is a link to it
        if self.storage == "journal":
            from optuna.storages.journal import JournalFileBackend

            storage: Any = optuna.storages.JournalStorage(JournalFileBackend(f"{path}.log"))
        else:
            storage = f"sqlite:///{path}.db" if self.storage == "sqlite" else self.storage
        never, median = optuna.pruners.NopPruner(), optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED)
        made = optuna.create_study(
            storage=storage,
            study_name=self.name,
            direction=DIRECTIONS[self.metric],
            load_if_exists=True,
            pruner=median if self.prune else never,
        )
        # A trial that is under way counts as a bad one, so that no other process draws its like. What a process draws
        # depends on how many trials there are, not on how often it was started.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made.sampler = optuna.samplers.TPESampler(seed=len(made.trials), constant_liar=True)
        return made

    def trial(self, number: int) -> pathlib.Path:
        """The folder of a trial, a run's."""
        return self.folder / f"trial{number}"


def begin(folder: pathlib.Path, base: Mapping[str, Any], metric: str, storage: str, prune: bool) -> Place:
    """Writes search.json in a folder that has none; returns where its study is.

    Raises:
      ValueError: the folder holds a search from another base, for another metric, or one that is kept elsewhere.
    """
    path = folder / "search.json"
    wanted = {"base": json.loads(json.dumps(base)), "metric": metric, "storage": storage}
    if not path.exists():
        name = f"{folder.name}-{uuid.uuid4().hex[:12]}"
        mine = folder / f"search.{name}.json"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(mine, {**wanted, "study": name})
        with contextlib.suppress(FileExistsError):  # of several processes that begin at once, the first names the study
            os.link(mine, path)
        mine.unlink()
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["base"] = complete(kept["base"])
    differing = [name for name, value in wanted.items() if kept[name] != value]
    if differing:
        raise ValueError(f"{folder} holds a search with another {' and '.join(differing)}; choose another --workdir")
    return Place(folder, storage, kept["study"], metric, prune)
