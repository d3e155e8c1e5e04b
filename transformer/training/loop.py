"""The training loop: dispatches steps, and looks at a step's sums only after the next one is under way.

It drives one run, or several that go in step: a population, see `training/population.py`.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from transformer.spec import Spec
from transformer.training.state import TrainState
from transformer.training.step import StepSums


class Batch(Protocol):
    """What the loop needs to know of a batch, which is on the devices."""

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
    """What happens beside training; each is told the number of updates made.

    Attributes:
      log: receives the metrics of the steps since the last call; of several runs in step, also how many they were.
      evaluate: measures the state on the validation split.
      save: writes a checkpoint.
      best: is told when an evaluation is the best so far, if early stopping is on.
      spoiled: is told of an update that was skipped, for its gradient was not finite.
      progress: is told of every step's dispatch.
      clock: seconds, from any origin.
      check: raises, at the end of any update, what is to end training there.
      alone: whether no other process takes part, which could not join in saving what is left when this one fails.
    """

    log: Callable[[int, dict[str, float]], None]
    evaluate: Callable[[int, TrainState], dict[str, float]]
    save: Callable[[int, TrainState], None]
    best: Callable[[int, TrainState], None]
    spoiled: Callable[[int], None]
    progress: Callable[[int], None]
    clock: Callable[[], float]
    check: Callable[[int], None] = lambda update: None
    alone: bool = True


class DivergenceError(ArithmeticError):
    """Too many updates in a row had no finite gradient; the state is that before the first of them."""


class Meter:
    """Adds up the sums of steps, and turns them into means when asked.

    Sums are scalars, or have an axis of members that make their steps together.

    Args:
      clock: seconds, from any origin.
      look: is given (update, gradient norm of each member) of every step once it is read.
    """

    def __init__(
        self, clock: Callable[[], float], look: Callable[[int, np.ndarray], None] = lambda update, norms: None
    ) -> None:
        self._clock = clock
        self._look = look
        self._latest: StepSums | None = None
        self._update = 0
        self._reset()

    def _reset(self) -> None:
        self._sums = np.zeros((3, 1))  # loss, negative log-likelihood and weight of each member
        self._since = self._clock()
        self._paused = 0.0

    def add(self, step: StepSums, update: int = 0) -> None:
        """Takes a step that was just dispatched, and reads the one before it: the device never waits for the host."""
        before, self._latest = self._latest, step
        of, self._update = self._update, update
        self._read(before, of)

    def _read(self, step: StepSums | None, update: int) -> None:
        if step is None:
            return
        sums, norm = jax.device_get((step.sums, step.gradient_norm))
        each = (np.asarray(value, np.float64) for value in (sums.loss, sums.nll, sums.weight))
        self._sums = self._sums + np.stack([np.atleast_1d(value) for value in each])
        self._look(update, np.atleast_1d(norm))

    def pause(self, seconds: float) -> None:
        """Leaves `seconds` spent on something else out of the speed."""
        self._paused += seconds

    def report(self) -> list[dict[str, float]]:
        """Of each member, means since the last report in nats and tokens per second; waits for the latest step.

        Raises:
          ValueError: no step was added since.
        """
        if self._latest is None:
            raise ValueError("no step to report on")
        last, self._latest = self._latest, None
        self._read(last, self._update)
        seconds = max(self._clock() - self._since - self._paused, 1e-9)
        facts = np.stack([np.atleast_1d(np.asarray(fact)) for fact in (last.gradient_norm, last.learning_rate)])
        reports = []
        for (loss, nll, tokens), (norm, rate) in zip(self._sums.T.tolist(), facts.T.tolist(), strict=True):
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


class Stopping:
    """Early stopping: enough evaluations in a row without improvement.

    Args:
      metric: "none", "loss" or "bleu".
      patience: how many are enough.
    """

    def __init__(self, metric: str, patience: int) -> None:
        self._metric, self._patience = metric, patience
        self._best = math.inf
        self._without = 0

    def improved(self, values: dict[str, float]) -> bool:
        """Takes note of an evaluation; whether it is the best so far."""
        if self._metric == "none":
            return False
        value = -values["bleu"] if self._metric == "bleu" else values["loss"]
        better = value < self._best
        self._best = value if better else self._best
        self._without = 0 if better else self._without + 1
        return better

    @property
    def stop(self) -> bool:
        """Whether to go no further."""
        return self._without >= self._patience


class _Member:
    """One run in the loop: what happens beside its training, and whether it goes on."""

    def __init__(self, spec: Spec, hooks: Hooks, past: Iterable[dict[str, float]]) -> None:
        self.hooks = hooks
        self._stopping = Stopping(spec.train.early_stopping, spec.train.patience)
        self.evaluated = 0
        for values in past:
            self._stopping.improved(values)
            self.evaluated = int(values.get("step", 0))
        self.over = self._stopping.stop
        self._limit = spec.train.nonfinite_limit
        self._spoiled = 0  # updates in a row

    def look(self, update: int, state: TrainState, evaluating: bool, saving: bool) -> None:
        """Evaluates and saves what is due."""
        if evaluating and self._stopping.improved(self.hooks.evaluate(update, state)):
            self.hooks.best(update, state)
        self.over = self._stopping.stop
        if saving or self.over:
            self.hooks.save(update, state)

    def check_gradient(self, update: int, norm: float) -> None:
        """Takes note of an update's gradient norm; 0 says that gradients were only added up."""
        if math.isfinite(norm):
            self._spoiled = 0 if norm > 0 else self._spoiled
            return
        self._spoiled += 1
        self.hooks.spoiled(update)
        if self._spoiled >= self._limit:
            raise DivergenceError(f"no finite gradient in {self._spoiled} updates in a row, the last of them {update}")


class _Members:
    """The runs in the loop, and what is due for them."""

    def __init__(
        self,
        spec: Spec,
        runs: Sequence[tuple[Hooks, Iterable[dict[str, float]]]],
        member: Callable[[TrainState, int], TrainState],
    ) -> None:
        self._every = spec.evaluate.every
        self._members = [_Member(spec, hooks, past) for hooks, past in runs]
        self._member = member
        self._clock = self._members[0].hooks.clock
        self.meter = Meter(self._clock, self._check_gradients)

    def _check_gradients(self, update: int, norms: np.ndarray) -> None:
        for each, norm in zip(self._members, norms.tolist(), strict=True):
            if not each.over:
                each.check_gradient(update, norm)

    def going(self) -> list[tuple[int, _Member]]:
        """Those that have not stopped early, and their numbers."""
        return [(number, each) for number, each in enumerate(self._members) if not each.over]

    def catch_up(self, start: int, state: TrainState) -> None:
        """Makes up for an evaluation that a run was cut off before."""
        for number, each in self.going():
            if start > each.evaluated and start % self._every == 0:
                each.look(start, self._member(state, number), evaluating=True, saving=False)

    def progress(self, update: int) -> None:
        """Tells all of an update."""
        for _, each in self.going():
            each.hooks.progress(update)

    def log(self, update: int) -> None:
        """Gives each its metrics."""
        values, going = self.meter.report(), self.going()
        share = {"members": float(len(going))} if len(self._members) > 1 else {}
        for number, each in going:
            each.hooks.log(update, values[number] | share)

    def look(self, update: int, state: TrainState, evaluating: bool, saving: bool) -> None:
        """Evaluates and saves what is due."""
        paused = self._clock()
        for number, each in self.going():
            each.look(update, self._member(state, number), evaluating, saving)
        self.meter.pause(self._clock() - paused)

    def rescue(self, update: int, state: TrainState, error: BaseException) -> None:
        """Saves what there is, unless the devices have it no more, or an error in this process alone ends training."""
        arrays = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
        together = self._members[0].hooks.alone or not isinstance(error, Exception)
        if together and not any(leaf.is_deleted() for leaf in arrays):
            with contextlib.suppress(ValueError):  # nothing to report since the last save
                self.log(update)
            self.look(update, state, evaluating=False, saving=True)

    def check(self, update: int) -> None:
        """Raises what is to end training."""
        self._members[0].hooks.check(update)


def fit(
    spec: Spec,
    step: Callable[..., tuple[TrainState, StepSums]],
    state: TrainState,
    numbers: Any,
    start: int,
    batches: Iterator[Batch],
    runs: Sequence[tuple[Hooks, Iterable[dict[str, float]]]],
    member: Callable[[TrainState, int], TrainState],
) -> TrainState:
    """Trains from update `start` to `spec.train.steps`, or until early stopping; returns the last state.

    Several runs go in step where state, numbers and batches are all runs' in one. One that has stopped early hears
    nothing any more, and what becomes of its part of the state is of no account; the others go on.

    Args:
      spec: the experiment; of several, what they have in common.
      step: the compiled step, (state, source_BS, target_BT, numbers) → (state, StepSums).
      state: on the devices; donated, but on a CPU.
      numbers: settings on the devices, see `training.step.numbers`.
      start: updates that `state` has seen.
      batches: on the devices, from the state's position on.
      runs: of each, what happens beside training, and results of its earlier evaluations, for early stopping. The first
        one's clock counts.
      member: (state, number) → the state of one run.

    Raises:
      DivergenceError: updates had no finite gradient, `train.nonfinite_limit` in a row.
    """
    members = _Members(spec, runs, member)
    made, whole = start, True  # updates, and whether no gradients of a further one are pending
    try:
        members.catch_up(start, state)
        for update in range(start + 1, spec.train.steps + 1):
            if not members.going():
                break
            for _ in range(spec.train.accumulate):
                batch = next(batches)
                state, sums = step(state, batch.source, batch.target, numbers)
                whole = False
                members.meter.add(sums, update)
            made, whole = update, True
            members.progress(update)
            last = update == spec.train.steps
            evaluating, saving = (last or update % every == 0 for every in (spec.evaluate.every, spec.checkpoint.every))
            # A save begins a new window of metrics, so that a run continued from it logs what it itself would have.
            if evaluating or saving or update % spec.train.log_every == 0:
                members.log(update)
            if evaluating or saving:
                members.look(update, state, evaluating, saving)
            members.check(update)
    except DivergenceError:
        raise
    except BaseException as error:  # whatever ends training
        if made > start and whole:
            members.rescue(made, state, error)
        raise
    return state
