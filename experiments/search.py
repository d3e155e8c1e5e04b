"""Looks for good settings: draws them from a space, trains, and draws better ones; needs the extra `search` (Optuna).

    python -m experiments.search --config=configs/quickstart.py --space=configs/searches/optimization.py --trials=20 \
        --workdir=runs/search

Trials are judged by what validation says last; no test split is opened. One whose best is worse than the median of what
finished trials said at the same update is given up, from the fifth trial on. The same command again goes on where it
was cut off; started several times, also on several hosts with a common folder, each process works on trials of its own.
The study is a SQLite file in the folder; hosts that share a network file system want --storage=journal, others a
database's URL.
"""

import contextlib
import csv
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags
from ml_collections import config_flags

from experiments import child, claims, command
from experiments.cells import changed
from experiments.console import console
from experiments.interrupt import Interrupted, Interrupts
from experiments.study import DIRECTIONS, Place, begin

if TYPE_CHECKING:
    import optuna

_LOCK = "drawing"  # the claim that keeps two processes from drawing one trial too many


class Flags(NamedTuple):
    """What the command takes."""

    config: flags.FlagHolder
    space: flags.FlagHolder
    workdir: flags.FlagHolder
    trials: flags.FlagHolder
    metric: flags.FlagHolder
    prune: flags.FlagHolder
    storage: flags.FlagHolder
    claim_expiry: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text = flags.DEFINE_string
    return Flags(
        config_flags.DEFINE_config_file("config", None, "the base; a file of configs/, FILE or FILE:ARGUMENT"),
        text("space", None, "what may differ; a file of configs/searches"),
        text("workdir", None, "folder of the search, made if it does not exist"),
        flags.DEFINE_integer("trials", 20, "how many there are to be in all", lower_bound=1),
        flags.DEFINE_enum("metric", "bleu", list(DIRECTIONS), "what validation says that counts"),
        flags.DEFINE_bool("prune", True, "give up trials that are hopeless"),
        text("storage", "sqlite", "sqlite or journal, a file in the folder; or a database's URL"),
        flags.DEFINE_float("claim_expiry", 120.0, "seconds after which a silent process is taken for dead", 5.0),
    )


def main(given: Flags) -> None:
    """Works on trials until there are as many as were asked for."""
    if not given.config.value or not given.space.value or not given.workdir.value:
        command.refuse("--config, --space and --workdir are needed")
    try:
        import optuna
    except ModuleNotFoundError:
        command.refuse("experiments.search needs Optuna: pip install -e '.[search]'")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = pathlib.Path(given.workdir.value)
    with command.mistakes():
        base = given.config.value.to_dict()
        suggest = command.module_of("--space", given.space.value, "suggest").suggest
        spec = changed(base, "--config", {})  # the base itself must make sense
        if given.metric.value == "bleu" and spec.evaluate.sentences == 0:
            raise ValueError("--metric=bleu: evaluate.sentences=0 translates nothing; use --metric=loss")
        place = begin(folder, base, given.metric.value, given.storage.value, given.prune.value)
    command.end_on_sigterm()
    search = Search(place, base, suggest, given.trials.value, given.claim_expiry.value)
    search.work()
    search.tell()


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
            status = child.run(work_on, self._place, number, self._base, self._claims, self._expiry)
            if status == claims.LOST:  # another process goes on with the trial
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
                elif not claims.owner(self._claims, f"trial{trial.number}", self._expiry):
                    return trial.number
            if len(study.trials) >= self._trials:
                return None
            drawn = study.ask()
            try:
                changes = self._suggest(drawn)
                with command.mistakes():
                    changed(self._base, f"trial {drawn.number}", changes)
            except BaseException:
                study.tell(drawn, state=states.FAIL)
                raise
            drawn.set_user_attr("changes", changes)
            return drawn.number

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time is in here."""
        while (held := claims.claim(self._claims, _LOCK, self._expiry)) is None:
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
            command.refuse(f"none of {len(trials)} trials was trained to its end; {self._place.folder} has their logs")
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

    claimed = claims.claim(folder, f"trial{number}", expiry)
    if claimed is None:
        return
    path = place.trial(number)
    with claimed, child.logging_to(path.with_suffix(".log")) as interrupts:
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
    from experiments.train import begin as run_in

    spec = changed(base, f"trial {number}", kept.user_attrs["changes"])
    run = run_in(spec, str(place.trial(number)), interrupts=interrupts)
    said: dict[int, float] = {}

    def judge(step: int, values: Mapping[str, float]) -> None:
        said[step] = values[place.metric]
        if step not in kept.intermediate_values:  # it may be known from before the trial was cut off
            trial.report(values[place.metric], step)
        if step < run.spec.train.steps and trial.should_prune():
            raise optuna.TrialPruned(f"given up after update {step}: {place.metric} {values[place.metric]:.3f}")

    run.judge = judge
    run.train()
    everything = kept.intermediate_values | said
    if not everything:
        raise ValueError("evaluate.every: nothing was evaluated")
    return everything[max(everything)]


if __name__ == "__main__":
    command.run(define, main)
