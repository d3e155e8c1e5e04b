"""The training loop. It dispatches a step before it reads the sums of the previous one, so the device never waits.

It trains one run, or a population of several in lockstep; see `training/population.py`.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from transformer.spec import Spec
from transformer.training.checkpoint import is_scheduled
from transformer.training.state import TrainState
from transformer.training.step import StepSums


class DeviceBatch(Protocol):
    """A batch on the devices."""

    @property
    def source(self) -> Any:
        """int32 source_BS."""
        ...

    @property
    def target(self) -> Any:
        """int32 target_BT."""
        ...


@dataclasses.dataclass
class Hooks:
    """Callbacks of the loop for one run; each gets the number of updates so far.

    Attributes:
      log: receives the metrics of the steps since the last call; for a population also the number of members.
      evaluate: evaluates the state on the validation split.
      save: writes a checkpoint.
      best: called after the best evaluation so far, if early stopping is on.
      nonfinite: called after an update that was skipped because its gradient was not finite.
      progress: called after the dispatch of every update.
      clock: returns seconds, from any origin.
      check: called after every update; raises to stop training.
      single_process: whether this is the only process. After an error in one of several, the others cannot join a save.
      nonfinite_before: number of consecutive updates before the start that were skipped.
    """

    log: Callable[[int, dict[str, float]], None]
    evaluate: Callable[[int, TrainState], dict[str, float]]
    save: Callable[[int, TrainState], None]
    best: Callable[[int, TrainState], None]
    nonfinite: Callable[[int], None]
    progress: Callable[[int], None]
    clock: Callable[[], float]
    check: Callable[[int], None] = lambda update: None
    single_process: bool = True
    nonfinite_before: int = 0


class DivergenceError(ArithmeticError):
    """Too many consecutive updates had no finite gradient; the state is the one before the first of them."""


class MetricAccumulator:
    """Accumulates the sums of steps and reports their means.

    Sums are scalars, or have an axis of members.

    Args:
      clock: returns seconds, from any origin.
      on_step: receives (update, gradient norm of each member) of every step when it is read.
    """

    def __init__(
        self, clock: Callable[[], float], on_step: Callable[[int, np.ndarray], None] = lambda update, norms: None
    ) -> None:
        self._clock = clock
        self._on_step = on_step
        self._latest: StepSums | None = None
        self._update = 0
        self._reset()

    def _reset(self) -> None:
        self._sums = np.zeros((3, 1))  # loss, negative log-likelihood and weight of each member
        self._since = self._clock()
        self._paused = 0.0

    def add(self, step: StepSums, update: int = 0) -> None:
        """Adds a step that was just dispatched, and reads the previous one, so that the device never waits."""
        previous, self._latest = self._latest, step
        previous_update, self._update = self._update, update
        self._read(previous, previous_update)

    def _read(self, step: StepSums | None, update: int) -> None:
        if step is None:
            return
        sums, norm = jax.device_get((step.sums, step.gradient_norm))
        values = (np.asarray(value, np.float64) for value in (sums.loss, sums.nll, sums.weight))
        self._sums = self._sums + np.stack([np.atleast_1d(value) for value in values])
        self._on_step(update, np.atleast_1d(norm))

    def pause(self, seconds: float) -> None:
        """Excludes `seconds` from the speed, such as the time of an evaluation."""
        self._paused += seconds

    def report(self) -> list[dict[str, float]]:
        """Returns each member's means since the last report, in nats, and tokens per second. Waits for the last step.

        Raises:
          ValueError: no step was added since the last report.
        """
        if self._latest is None:
            raise ValueError("no step to report on")
        last, self._latest = self._latest, None
        self._read(last, self._update)
        seconds = max(self._clock() - self._since - self._paused, 1e-9)
        last_values = np.stack([np.atleast_1d(np.asarray(value)) for value in (last.gradient_norm, last.learning_rate)])
        reports = []
        for (loss, nll, tokens), (norm, rate) in zip(self._sums.T.tolist(), last_values.T.tolist(), strict=True):
            weight = max(tokens, 1.0)
            reports.append(
                {
                    "loss": loss / weight,
                    "perplexity": math.exp(min(nll / weight, 100.0)),
                    "gradient_norm": norm,
                    "learning_rate": rate,
                    "target_tokens": tokens,
                    "seconds": seconds,
                    "tokens_per_second": tokens / seconds,
                }
            )
        self._reset()
        return reports


class EarlyStopping:
    """Stops training after `patience` consecutive evaluations without improvement.

    Args:
      metric: "none", "loss" or "bleu".
      patience: number of evaluations.
    """

    def __init__(self, metric: str, patience: int) -> None:
        self._metric, self._patience = metric, patience
        self._best = math.inf
        self._without_improvement = 0

    def update(self, values: dict[str, float]) -> bool:
        """Records an evaluation; returns whether it is the best so far."""
        if self._metric == "none":
            return False
        value = -values["bleu"] if self._metric == "bleu" else values["loss"]
        improved = value < self._best
        self._best = value if improved else self._best
        self._without_improvement = 0 if improved else self._without_improvement + 1
        return improved

    @property
    def should_stop(self) -> bool:
        """Whether patience is exhausted."""
        return self._without_improvement >= self._patience


def stopping_step(spec: Spec, evaluations: Iterable[dict[str, float]]) -> int | None:
    """Returns the step at which early stopping stopped a run with these evaluations; None if it did not."""
    early_stopping = EarlyStopping(spec.train.early_stopping, spec.train.patience)
    for values in evaluations:
        early_stopping.update(values)
        if early_stopping.should_stop:
            return int(values["step"])
    return None


def _evaluates(spec: Spec, update: int) -> bool:
    """Returns whether the loop evaluates after this update."""
    return update % spec.evaluate.every == 0 or update == spec.train.steps


class _Member:
    """One run in the loop: its hooks, and whether it has stopped early."""

    def __init__(self, spec: Spec, hooks: Hooks, past: Iterable[dict[str, float]]) -> None:
        self.hooks = hooks
        self._early_stopping = EarlyStopping(spec.train.early_stopping, spec.train.patience)
        self.last_evaluated = 0
        for values in past:
            self._early_stopping.update(values)
            self.last_evaluated = int(values.get("step", 0))
        self.stopped = self._early_stopping.should_stop
        self._limit = spec.train.nonfinite_limit
        self._nonfinite = hooks.nonfinite_before  # consecutive updates

    def evaluate_and_save(self, update: int, state: TrainState, evaluating: bool, saving: bool) -> None:
        """Evaluates and saves as requested; also saves when the run stops early."""
        if evaluating and self._early_stopping.update(self.hooks.evaluate(update, state)):
            self.hooks.best(update, state)
        self.stopped = self._early_stopping.should_stop
        if saving or self.stopped:
            self.hooks.save(update, state)

    def check_gradient(self, update: int, norm: float) -> None:
        """Records a gradient norm, where 0 means that gradients were only accumulated."""
        if math.isfinite(norm):
            self._nonfinite = 0 if norm > 0 else self._nonfinite
            return
        self._nonfinite += 1
        self.hooks.nonfinite(update)
        if self._nonfinite >= self._limit:
            raise DivergenceError(f"no finite gradient in {self._nonfinite} consecutive updates up to {update}")


class _Members:
    """All runs in the loop."""

    def __init__(
        self,
        spec: Spec,
        runs: Sequence[tuple[Hooks, Iterable[dict[str, float]]]],
        member: Callable[[TrainState, int], TrainState],
    ) -> None:
        self._spec = spec
        self._members = [_Member(spec, hooks, past) for hooks, past in runs]
        self._member_state = member
        self._clock = self._members[0].hooks.clock
        self.metrics = MetricAccumulator(self._clock, self._check_gradients)

    def _check_gradients(self, update: int, norms: np.ndarray) -> None:
        for member, norm in zip(self._members, norms.tolist(), strict=True):
            if not member.stopped:
                member.check_gradient(update, norm)

    def active(self) -> list[tuple[int, _Member]]:
        """Returns the members that have not stopped early, with their indices."""
        return [(index, member) for index, member in enumerate(self._members) if not member.stopped]

    def evaluate_missed(self, start: int, state: TrainState) -> None:
        """Evaluates members that were interrupted between a save and its evaluation."""
        for index, member in self.active():
            if start > member.last_evaluated and _evaluates(self._spec, start):
                member.evaluate_and_save(start, self._member_state(state, index), evaluating=True, saving=False)

    def progress(self, update: int) -> None:
        """Calls the progress hooks."""
        for _, member in self.active():
            member.hooks.progress(update)

    def log(self, update: int) -> None:
        """Logs each member's metrics."""
        values, active = self.metrics.report(), self.active()
        count = {"members": float(len(active))} if len(self._members) > 1 else {}
        for index, member in active:
            member.hooks.log(update, values[index] | count)

    def evaluate_and_save(self, update: int, state: TrainState, evaluating: bool, saving: bool) -> None:
        """Evaluates and saves the active members as requested."""
        start = self._clock()
        for index, member in self.active():
            member.evaluate_and_save(update, self._member_state(state, index), evaluating, saving)
        self.metrics.pause(self._clock() - start)

    def save_on_error(self, update: int, state: TrainState, error: BaseException) -> None:
        """Saves the state, unless it was donated or only this process has failed."""
        arrays = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
        all_processes = self._members[0].hooks.single_process or not isinstance(error, Exception)
        if all_processes and not any(leaf.is_deleted() for leaf in arrays):
            with contextlib.suppress(ValueError):  # nothing to report since the last save
                self.log(update)
            self.evaluate_and_save(update, state, evaluating=False, saving=True)

    def check(self, update: int) -> None:
        """Calls the check hook, which may raise."""
        self._members[0].hooks.check(update)


def fit(
    spec: Spec,
    step: Callable[..., tuple[TrainState, StepSums]],
    state: TrainState,
    hyperparams: Any,
    start: int,
    batches: Iterator[DeviceBatch],
    runs: Sequence[tuple[Hooks, Iterable[dict[str, float]]]],
    member: Callable[[TrainState, int], TrainState],
) -> TrainState:
    """Trains from update `start` to `spec.train.steps`, or until early stopping; returns the last state.

    The runs of a population train in lockstep, on a stacked state, stacked hyperparams and stacked batches. The hooks
    of a run that has stopped early are not called again, and its part of the state has no meaning from then on; the
    others continue.

    Args:
      spec: the experiment; for a population, the settings that the members share.
      step: the compiled step, (state, source_BS, target_BT, hyperparams) → (state, StepSums).
      state: on the devices; donated, except on a CPU.
      hyperparams: on the devices; see `training.step.hyperparams`.
      start: number of updates that `state` has seen.
      batches: on the devices, from the state's position on.
      runs: for each run its hooks and the results of its earlier evaluations, for early stopping. The first run's clock
        is used.
      member: (state, index) → the state of one run.

    Raises:
      DivergenceError: `train.nonfinite_limit` consecutive updates had no finite gradient.
    """
    members = _Members(spec, runs, member)
    completed, pending = start, False  # updates, and whether gradients of a further one are pending
    try:
        members.evaluate_missed(start, state)
        for update in range(start + 1, spec.train.steps + 1):
            if not members.active():
                break
            for _ in range(spec.train.accumulate):
                batch = next(batches)
                state, sums = step(state, batch.source, batch.target, hyperparams)
                pending = True
                members.metrics.add(sums, update)
            completed, pending = update, False
            members.progress(update)
            evaluating, saving = _evaluates(spec, update), is_scheduled(spec, update)
            # A save starts a new window of metrics, so that a resumed run logs the same metrics as without the break.
            if evaluating or saving or update % spec.train.log_every == 0:
                members.log(update)
            if evaluating or saving:
                members.evaluate_and_save(update, state, evaluating, saving)
            members.check(update)
    except DivergenceError:
        raise
    except BaseException as error:  # including KeyboardInterrupt
        if completed > start and not pending:
            members.save_on_error(completed, state, error)
        raise
    return state
