"""Runs the trials of a search: draws settings, trains in a separate process, and reports to Optuna."""

import contextlib
import csv
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.runs.execute import open_run
from experiments.runtime import cli, config_files, leases, subprocesses
from experiments.runtime.progress import console
from experiments.runtime.signals import Interrupted, Interrupts
from experiments.sweeps.cells import Config, apply_changes
from experiments.sweeps.optuna_study import StudyLocation

if TYPE_CHECKING:
    import optuna

_Suggest = Callable[[Any], dict[str, Any]]  # trial → changes of the config, by dotted key
_LOCK = "drawing"  # the lease that prevents two processes from each drawing the last trial


class TrialRunner:
    """Runs the trials of a study.

    Args:
      location: location of the study.
      base: config that trials change.
      suggest: draws changes from the search space.
      trials: number of trials in all.
      expiry: expiry of leases, seconds.
    """

    def __init__(self, location: StudyLocation, base: Config, suggest: _Suggest, trials: int, expiry: float) -> None:
        self._location, self._base, self._suggest = location, base, suggest
        self._trials, self._expiry = trials, expiry
        self._leases = location.folder / "claims"
        self._console = console()

    def run(self) -> None:
        """Runs trials until there are enough, and none is left over from a process that died."""
        while (number := self._next()) is not None:
            self._console.print(f"trial {number}: {_as_flags(self._changes(number))}", markup=False)
            status = subprocesses.run(run_trial, self._location, number, self._base, self._leases, self._expiry)
            if status == leases.LEASE_LOST:  # another process continues the trial
                continue
            trial = self._location.open_study().trials[number]
            if status and not trial.state.is_finished():
                self._fail(number, f"exit status {status}")
                trial = self._location.open_study().trials[number]
            value = "" if trial.value is None else f", {self._location.metric} {trial.value:.3f}"
            self._console.print(f"trial {number}: {trial.state.name.lower()}{value}", markup=False)

    def _next(self) -> int | None:
        """Returns an unfinished trial that no process works on, or a new one; None if there are enough."""
        import optuna

        with self._locked():
            study, states = self._location.open_study(), optuna.trial.TrialState
            for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                if "changes" not in trial.user_attrs:  # its process was killed while it drew the settings
                    study.tell(trial.number, state=states.FAIL)
                elif not leases.holder(self._leases, f"trial{trial.number}", self._expiry):
                    return trial.number
            if len(study.trials) >= self._trials:
                return None
            trial = study.ask()
            try:
                changes = self._suggest(trial)
                with cli.user_errors():
                    apply_changes(self._base, f"trial {trial.number}", changes)
            except BaseException:
                study.tell(trial, state=states.FAIL)
                raise
            trial.set_user_attr("changes", changes)
            return trial.number

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets only one process at a time run the body."""
        while (lease := leases.acquire(self._leases, _LOCK, self._expiry)) is None:
            time.sleep(0.1)
        with lease:
            yield

    def _changes(self, number: int) -> dict[str, Any]:
        return self._location.open_study().trials[number].user_attrs["changes"]

    def _fail(self, number: int, reason: str) -> None:
        import optuna

        self._location.open_study().tell(number, state=optuna.trial.TrialState.FAIL)
        self._console.print(f"trial {number}: {reason}; see {self._location.trial_dir(number)}.log", markup=False)

    def write_summary(self) -> None:
        """Writes trials.csv, and prints the best trial as flags of experiments.train."""
        study = self._location.open_study()
        trials = study.trials
        names = list(dict.fromkeys(key for trial in trials for key in trial.user_attrs.get("changes", ())))
        with (self._location.folder / "trials.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("trial", "state", self._location.metric, *names))
            for trial in trials:
                values = map(trial.user_attrs.get("changes", {}).get, names)
                writer.writerow((trial.number, trial.state.name.lower(), trial.value, *values))
        if not any(trial.state.name == "COMPLETE" for trial in trials):
            cli.exit_with_error(f"none of {len(trials)} trials is complete; see the logs in {self._location.folder}")
        best, metric = study.best_trial, self._location.metric
        summary = f"best of {len(trials)}: trial {best.number}, {metric} {best.value:.3f}"
        self._console.print(f"{summary}\n{_as_flags(best.user_attrs['changes'])}", markup=False)


def _as_flags(changes: Mapping[str, Any]) -> str:
    return " ".join(f"--config.{key}={value}" for key, value in changes.items())


def run_worker(location: StudyLocation, base: Config, space: str, trials: int, expiry: float) -> None:
    """Runs trials of the search space in a file, until other workers and this one have run enough."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    suggest = config_files.load_module("--space", space, "suggest").suggest
    TrialRunner(location, base, suggest, trials, expiry).run()


def run_trial(location: StudyLocation, number: int, base: Config, folder: pathlib.Path, expiry: float) -> None:
    """Trains a trial in this process, unless another process holds its lease in `folder`."""
    import optuna

    lease = leases.acquire(folder, f"trial{number}", expiry)
    if lease is None:
        return
    path = location.trial_dir(number)
    with lease, subprocesses.logging_to(path.with_suffix(".log")) as interrupts:
        study = location.open_study()
        states = optuna.trial.TrialState
        if study.trials[number].state.is_finished():
            return
        try:
            value = _train(location, study, number, base, interrupts)
        except optuna.TrialPruned as pruned:
            print(pruned)
            study.tell(number, state=states.PRUNED)
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException:  # BaseException, because a wrong setting raises SystemExit
            traceback.print_exc()
            study.tell(number, state=states.FAIL)
            sys.exit(1)
        else:
            study.tell(number, value)


def _train(location: StudyLocation, study: "optuna.Study", number: int, base: Config, interrupts: Interrupts) -> float:
    """Trains a trial until it is complete or pruned; returns its last validation metric."""
    import optuna

    frozen = study.trials[number]
    trial = optuna.trial.Trial(study, frozen._trial_id)
    spec = apply_changes(base, f"trial {number}", frozen.user_attrs["changes"])
    run = open_run(spec, str(location.trial_dir(number)), interrupts=interrupts)
    values_by_step: dict[int, float] = {}

    def on_evaluation(step: int, values: Mapping[str, float]) -> None:
        values_by_step[step] = values[location.metric]
        if step not in frozen.intermediate_values:  # it may have been reported before the trial was interrupted
            trial.report(values[location.metric], step)
        if step < run.spec.train.steps and trial.should_prune():
            raise optuna.TrialPruned(f"pruned after update {step}: {location.metric} {values[location.metric]:.3f}")

    run.on_evaluation = on_evaluation
    from experiments.runs import trainer

    trainer.train([run])
    values_by_step = frozen.intermediate_values | values_by_step
    if not values_by_step:
        raise ValueError("evaluate.every: nothing was evaluated")
    return values_by_step[max(values_by_step)]
