"""The training loop: dispatches steps, and looks at a step's sums only after the next one is under way."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import jax

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
      log: receives the metrics of the steps since the last call.
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
    """Adds up the sums of steps, and turns them into means when asked."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest: StepSums | None = None
        self._reset()

    def _reset(self) -> None:
        self._loss = self._nll = self._weight = 0.0
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
        self._loss += float(sums.loss)
        self._nll += float(sums.nll)
        self._weight += float(sums.weight)

    def pause(self, seconds: float) -> None:
        """Leaves `seconds` spent on something else out of the speed."""
        self._paused += seconds

    def report(self) -> dict[str, float]:
        """Means since the last report, in nats and tokens per second; waits for the latest step.

        Raises:
          ValueError: no step was added since.
        """
        if self._latest is None:
            raise ValueError("no step to report on")
        self._read()
        last, self._latest = self._latest, None
        seconds = max(self._clock() - self._since - self._paused, 1e-9)
        weight = max(self._weight, 1.0)
        values = {
            "loss": self._loss / weight,
            "perplexity": math.exp(min(self._nll / weight, 100.0)),
            "gradient_norm": float(last.gradient_norm),
            "learning_rate": float(last.learning_rate),
            "target_tokens": self._weight,
            "seconds": seconds,
            "tokens_per_second": self._weight / seconds,
        }
        self._reset()
        return values


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


def fit(
    spec: Spec,
    step: Callable[..., tuple[TrainState, StepSums]],
    state: TrainState,
    numbers: Any,
    start: int,
    batches: Iterator[Batch],
    hooks: Hooks,
    past: Iterable[dict[str, float]] = (),
) -> TrainState:
    """Trains from update `start` to `spec.train.steps`, or until early stopping; returns the last state.

    Args:
      spec: the experiment.
      step: the compiled step, (state, source_BS, target_BT, numbers) → (state, StepSums).
      state: on the devices; donated.
      numbers: settings on the devices, see `training.step.numbers`.
      start: updates that `state` has seen.
      batches: on the devices, from the state's position on.
      hooks: what happens beside training.
      past: results of earlier evaluations of this run, for early stopping.
    """
    stopping = Stopping(spec.train.early_stopping, spec.train.patience)
    for values in past:
        stopping.improved(values)
    meter = Meter(hooks.clock)
    for update in range(start + 1, spec.train.steps + 1):
        if stopping.stop:
            break
        for _ in range(spec.train.accumulate):
            batch = next(batches)
            state, sums = step(state, batch.source, batch.target, numbers)
            meter.add(sums)
        hooks.progress(update)
        last = update == spec.train.steps
        evaluating, saving = (last or update % every == 0 for every in (spec.evaluate.every, spec.checkpoint.every))
        # A save begins a new window of metrics, so that a run continued from it logs what the run itself would have.
        if evaluating or saving or update % spec.train.log_every == 0:
            hooks.log(update, meter.report())
        paused = hooks.clock()
        if evaluating and stopping.improved(hooks.evaluate(update, state)):
            hooks.best(update, state)
        if saving or stopping.stop:
            hooks.save(update, state)
        meter.pause(hooks.clock() - paused)
    return state
