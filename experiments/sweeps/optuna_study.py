"""The Optuna study of a search: where it is stored, how it draws trials and when it prunes them."""

import contextlib
import functools
import json
import os
import pathlib
import sqlite3
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from experiments.runs.workdir import fill_defaults, write_json
from experiments.sweeps.cells import Config

if TYPE_CHECKING:
    import optuna

DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "bleu": "maximize",
    "loss": "minimize",
}  # metrics of validation
_STARTUP_TRIALS = 4  # trials that are never pruned: a median of fewer is unreliable


class StudyLocation(NamedTuple):
    """Everything that a process of a search needs to open its study.

    Attributes:
      folder: folder of the search.
      storage: "sqlite", "journal" or a URL.
      name: name of the study; a database may hold several.
      metric: metric of validation that the search optimises.
      prune: whether bad trials are stopped early.
    """

    folder: pathlib.Path
    storage: str
    name: str
    metric: str
    prune: bool

    def open_study(self) -> "optuna.Study":
        """Opens the study; creates it if it does not exist."""
        import optuna

        path = self.folder.absolute() / "study"  # absolute, because the journal's lock is a symbolic link to it
        if self.storage == "journal":
            from optuna.storages.journal import JournalFileBackend

            storage: Any = optuna.storages.JournalStorage(JournalFileBackend(f"{path}.log"))
        else:
            storage = _sqlite(f"{path}.db") if self.storage == "sqlite" else self.storage
        direction = DIRECTIONS[self.metric]
        study = optuna.create_study(storage=storage, study_name=self.name, direction=direction, load_if_exists=True)
        never, median = optuna.pruners.NopPruner(), optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS)
        study.pruner = median if self.prune else never
        # constant_liar: a running trial counts as a bad one, so that no other process draws similar settings. The seed
        # depends on the number of trials, not on how often a process was started.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), constant_liar=True)
        return study

    def trial_dir(self, number: int) -> pathlib.Path:
        """Returns the run folder of a trial."""
        return self.folder / f"trial{number}"


def _sqlite(path: str) -> "optuna.storages.RDBStorage":
    """Opens a SQLite file. A URL could not name every path: ? and # end it, and Optuna fills in its braces."""
    import optuna

    connect = functools.partial(sqlite3.connect, path, check_same_thread=False)
    return optuna.storages.RDBStorage("sqlite:///study.db", {"creator": connect})


def create_or_check(folder: pathlib.Path, base: Config, metric: str, storage: str, prune: bool) -> StudyLocation:
    """Writes search.json if the folder has none, or checks it; returns the location of the study.

    Raises:
      ValueError: the folder holds a search with another base, metric or storage.
    """
    path = folder / "search.json"
    expected = {"base": json.loads(json.dumps(base)), "metric": metric, "storage": storage}
    if not path.exists():
        name = f"{folder.name}-{uuid.uuid4().hex[:12]}"
        candidate = folder / f"search.{name}.json"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(candidate, {**expected, "study": name})
        with contextlib.suppress(FileExistsError):  # of several processes that start at once, the first names the study
            os.link(candidate, path)
        candidate.unlink()
    existing = json.loads(path.read_text(encoding="utf-8"))
    existing["base"] = fill_defaults(existing["base"])
    differing = [name for name, value in expected.items() if existing[name] != value]
    if differing:
        raise ValueError(f"{folder} holds a search with another {' and '.join(differing)}; choose another --workdir")
    return StudyLocation(folder, storage, existing["study"], metric, prune)
