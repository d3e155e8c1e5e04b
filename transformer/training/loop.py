"""The training loop: dispatches steps, and looks at a step's sums only after the next one is under way.

It drives one run, or several that go in step: a population, see `training/population.py`.
"""

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
      progress: is told of every step's dispatch.
      clock: seconds, from any origin.
    """

    log: Callable[[int, dict[str, float]], None]
    evaluate: Callable[[int, TrainState], dict[str, float]]
    save: Callable[[int, TrainState], None]
    best: Callable[[int, TrainState], None]
    progress: Callable[[int], None]
    clock: Callable[[], float]


class Meter:
    """Adds up the sums of steps, and turns them into means when asked.

    Sums are scalars, or have an axis of members that make their steps together.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest: StepSums | None = None
        self._reset()

    def _reset(self) -> None:
        self._sums = np.zeros((3, 1))  # loss, negative log-likelihood and weight of each member
        self._since = self._clock()
        self._paused = 0.0

    def add(self, step: StepSums) -> None:
        """Takes a step that was just dispatched, and reads the one before it: the device never waits for the host."""
        self._read()
        self._latest = step

    def _read(self) -> None:
        if self._latest is None:
            return
        sums = jax.device_get(self._latest.sums)
        each = (np.asarray(value, np.float64) for value in (sums.loss, sums.nll, sums.weight))
        self._sums = self._sums + np.stack([np.atleast_1d(value) for value in each])

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
        self._read()
        last, self._latest = self._latest, None
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
        for values in past:
            self._stopping.improved(values)
        self.over = self._stopping.stop

    def look(self, update: int, state: TrainState, evaluating: bool, saving: bool) -> None:
        """Evaluates and saves what is due."""
        if evaluating and self._stopping.improved(self.hooks.evaluate(update, state)):
            self.hooks.best(update, state)
        self.over = self._stopping.stop
        if saving or self.over:
            self.hooks.save(update, state)


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
      state: on the devices; donated.
      numbers: settings on the devices, see `training.step.numbers`.
      start: updates that `state` has seen.
      batches: on the devices, from the state's position on.
      runs: of each, what happens beside training, and results of its earlier evaluations, for early stopping. The first
        one's clock counts.
      member: (state, number) → the state of one run.
    """
    members = [_Member(spec, hooks, past) for hooks, past in runs]
    clock = members[0].hooks.clock
    meter = Meter(clock)
    for update in range(start + 1, spec.train.steps + 1):
        going = [(number, each) for number, each in enumerate(members) if not each.over]
        if not going:
            break
        for _ in range(spec.train.accumulate):
            batch = next(batches)
            state, sums = step(state, batch.source, batch.target, numbers)
            meter.add(sums)
        for _, each in going:
            each.hooks.progress(update)
        last = update == spec.train.steps
        evaluating, saving = (last or update % every == 0 for every in (spec.evaluate.every, spec.checkpoint.every))
        # A save begins a new window of metrics, so that a run continued from it logs what the run itself would have.
        if evaluating or saving or update % spec.train.log_every == 0:
            values = meter.report()
            share = {"members": float(len(going))} if len(members) > 1 else {}
            for number, each in going:
                each.hooks.log(update, values[number] | share)
        paused = clock()
        if evaluating or saving:
            for number, each in going:
                each.look(update, member(state, number), evaluating, saving)
        meter.pause(clock() - paused)
    return state
