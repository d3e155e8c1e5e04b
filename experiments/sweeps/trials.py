"""Works on the trials of a search: draws settings, trains in a process of its own, reports to Optuna."""

import contextlib
import csv
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.runs.execute import open_run
from experiments.runtime import cli, leases, subprocesses
from experiments.runtime.progress import console
from experiments.runtime.signals import Interrupted, Interrupts
from experiments.sweeps.cells import changed
from experiments.sweeps.optuna_study import Place

if TYPE_CHECKING:
    import optuna

_LOCK = "drawing"  # the lease that keeps two processes from drawing one trial too many


class Search:
    """Works on the trials of a study.

    Args:
      place: of the study.
      base: config that trials change.
      suggest: draws changes from the space.
      trials: how many there are to be.
      expiry: of claims, seconds.
    """

    def __init__(
        self,
        place: Place,
        base: Mapping[str, dict[str, Any]],
        suggest: Callable[[Any], dict[str, Any]],
        trials: int,
        expiry: float,
    ) -> None:
        self._place, self._base, self._suggest = place, base, suggest
        self._trials, self._expiry = trials, expiry
        self._claims = place.folder / "claims"
        self._console = console()

    def work(self) -> None:
        """Takes one trial after the other until there are enough and none is left by a process that died."""
        while (number := self._next()) is not None:
            self._console.print(f"trial {number}: {_written(self._changes(number))}", markup=False)
            status = subprocesses.run(work_on, self._place, number, self._base, self._claims, self._expiry)
            if status == leases.LOST:  # another process goes on with the trial
                continue
            trial = self._place.study().trials[number]
            if status and not trial.state.is_finished():
                self._fail(number, f"ended with status {status}")
                trial = self._place.study().trials[number]
            value = "" if trial.value is None else f", {self._place.metric} {trial.value:.3f}"
            self._console.print(f"trial {number}: {trial.state.name.lower()}{value}", markup=False)

    def _next(self) -> int | None:
        """A trial that was begun and that nobody works on, or a new one; none if there are enough."""
        import optuna

        with self._alone():
            study, states = self._place.study(), optuna.trial.TrialState
            for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                if "changes" not in trial.user_attrs:  # whoever drew it was cut off in here
                    study.tell(trial.number, state=states.FAIL)
                elif not leases.owner(self._claims, f"trial{trial.number}", self._expiry):
                    return trial.number
            if len(study.trials) >= self._trials:
                return None
            drawn = study.ask()
            try:
                changes = self._suggest(drawn)
                with cli.mistakes():
                    changed(self._base, f"trial {drawn.number}", changes)
            except BaseException:
                study.tell(drawn, state=states.FAIL)
                raise
            drawn.set_user_attr("changes", changes)
            return drawn.number

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time is in here."""
        while (held := leases.claim(self._claims, _LOCK, self._expiry)) is None:
            time.sleep(0.1)
        with held:
            yield

    def _changes(self, number: int) -> dict[str, Any]:
        return self._place.study().trials[number].user_attrs["changes"]

    def _fail(self, number: int, why: str) -> None:
        import optuna

        self._place.study().tell(number, state=optuna.trial.TrialState.FAIL)
        self._console.print(f"trial {number}: {why}; {self._place.trial(number)}.log may say more", markup=False)

    def tell(self) -> None:
        """Writes trials.csv, and prints the best trial as flags of experiments.train."""
        study = self._place.study()
        trials = study.trials
        names = list(dict.fromkeys(key for trial in trials for key in trial.user_attrs.get("changes", ())))
        with (self._place.folder / "trials.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("trial", "state", self._place.metric, *names))
            for trial in trials:
                changes = trial.user_attrs.get("changes", {})
                writer.writerow(
                    (trial.number, trial.state.name.lower(), trial.value, *(changes.get(key) for key in names))
                )
        if not any(trial.state.name == "COMPLETE" for trial in trials):
            cli.refuse(f"none of {len(trials)} trials was trained to its end; {self._place.folder} has their logs")
        best = study.best_trial
        self._console.print(
            f"best of {len(trials)}: trial {best.number}, {self._place.metric} {best.value:.3f}\n"
            f"{_written(best.user_attrs['changes'])}",
            markup=False,
        )


def _written(changes: Mapping[str, Any]) -> str:
    """Changes as flags."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items())


def work_on(place: Place, number: int, base: Mapping[str, dict[str, Any]], folder: pathlib.Path, expiry: float) -> None:
    """Trains a trial in this process, unless somebody else has claimed it in the folder of claims."""
    import optuna

    claimed = leases.claim(folder, f"trial{number}", expiry)
    if claimed is None:
        return
    path = place.trial(number)
    with claimed, subprocesses.logging_to(path.with_suffix(".log")) as interrupts:
        study = place.study()
        states = optuna.trial.TrialState
        if study.trials[number].state.is_finished():
            return
        try:
            value = _train(place, study, number, base, interrupts)
        except optuna.TrialPruned as pruned:
            print(pruned)
            study.tell(number, state=states.PRUNED)
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException:  # a mistake in a setting ends the program: SystemExit
            traceback.print_exc()
            study.tell(number, state=states.FAIL)
            sys.exit(1)
        else:
            study.tell(number, value)


def _train(
    place: Place, study: "optuna.Study", number: int, base: Mapping[str, dict[str, Any]], interrupts: Interrupts
) -> float:
    """Trains a trial to its end, or until it is hopeless; returns what validation said last."""
    import optuna

    kept = study.trials[number]
    trial = optuna.trial.Trial(study, kept._trial_id)
    spec = changed(base, f"trial {number}", kept.user_attrs["changes"])
    run = open_run(spec, str(place.trial(number)), interrupts=interrupts)
    said: dict[int, float] = {}

    def judge(step: int, values: Mapping[str, float]) -> None:
        said[step] = values[place.metric]
        if step not in kept.intermediate_values:  # it may be known from before the trial was cut off
            trial.report(values[place.metric], step)
        if step < run.spec.train.steps and trial.should_prune():
            raise optuna.TrialPruned(f"given up after update {step}: {place.metric} {values[place.metric]:.3f}")

    run.judge = judge
    from experiments.runs import trainer

    trainer.train([run])
    everything = kept.intermediate_values | said
    if not everything:
        raise ValueError("evaluate.every: nothing was evaluated")
    return everything[max(everything)]
