"""The training loop with fake hooks and a fake step: the order of events and the reported metrics."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import pytest

from configs import base
from transformer.ops.losses import LossSums
from transformer.spec import Spec
from transformer.training.loop import (
    DeviceBatch,
    DivergenceError,
    EarlyStopping,
    Hooks,
    MetricAccumulator,
    fit,
    stopping_step,
)
from transformer.training.state import TrainState
from transformer.training.step import StepSums

STEP_SECONDS, EVALUATE_SECONDS, SAVE_SECONDS = 2.0, 101.0, 53.0


def spec(evaluate: int = 1009, checkpoint: int = 1009, **train: Any) -> Spec:
    config = base.get_config().to_dict()
    config["train"] |= {"log_every": 1009} | train
    config["evaluate"]["every"] = evaluate
    config["checkpoint"]["every"] = checkpoint
    return Spec.from_config(config)


class Numbered(NamedTuple):
    source: int
    target: int


class World:
    """Records events in order. Its clock advances only in the dispatch of a step, an evaluation or a save.

    Batch k has 10 k tokens, a loss of k nats and a negative log-likelihood of k / 2 nats a token. The state is the
    number of batches seen.
    """

    def __init__(self, evaluations: tuple[dict[str, float], ...] = ()) -> None:
        self.events: list[tuple[str, int]] = []
        self.logged: dict[int, dict[str, float]] = {}
        self.states: list[tuple[str, int]] = []
        self.evaluations = iter(evaluations)
        self.interrupts: dict[str, Callable[[int], None]] = {}  # callbacks that may raise, by event
        self.nonfinite_batches: set[int] = set()
        self.accumulate = 1
        self.now = 1e6

    def batches(self, first: int = 1) -> Iterator[DeviceBatch]:
        while True:
            yield cast(DeviceBatch, Numbered(first, -first))
            first += 1

    def step(self, state: int, source: int, target: int, hyperparams: str) -> tuple[int, StepSums]:
        assert (target, hyperparams) == (-source, "hyperparams")
        self.interrupts.get("dispatch", lambda batch: None)(source)
        self.events.append(("dispatch", source))
        self.now += STEP_SECONDS
        weight, world = 10 * source, self

        class Weight:
            """A device array, which records when it is read."""

            def __array__(self, *_: Any, **__: Any) -> np.ndarray:
                world.events.append(("read", source))
                return np.array(weight, np.float32)

            def __float__(self) -> float:
                return float(self.__array__())

        sums = LossSums(cast(Any, weight * source), cast(Any, weight * source / 2), cast(Any, Weight()))
        norm = math.nan if source in self.nonfinite_batches else 0.0 if source % self.accumulate else source / 7
        return state + 1, StepSums(sums, cast(Any, norm), cast(Any, source / 1000))

    def hooks(self) -> Hooks:
        def log(update: int, values: dict[str, float]) -> None:
            self.events.append(("log", update))
            self.logged[update] = values

        def evaluate(update: int, state: Any) -> dict[str, float]:
            self.interrupts.get("evaluate", lambda update: None)(update)
            self.events.append(("evaluate", update))
            self.states.append(("evaluate", state))
            self.now += EVALUATE_SECONDS
            return next(self.evaluations, {"loss": 1.0, "bleu": 1.0})

        def save(update: int, state: Any) -> None:
            self.events.append(("save", update))
            self.states.append(("save", state))
            self.now += SAVE_SECONDS

        def best(update: int, state: Any) -> None:
            self.events.append(("best", update))
            self.states.append(("best", state))

        def progress(update: int) -> None:
            self.events.append(("progress", update))

        def nonfinite(update: int) -> None:
            self.events.append(("nonfinite", update))

        def check(update: int) -> None:
            assert update == self.when("progress")[-1]
            self.interrupts.get("check", lambda update: None)(update)

        return Hooks(log, evaluate, save, best, nonfinite, progress, clock=lambda: self.now, check=check)

    def fit(self, spec: Spec, start: int = 0, past: tuple[dict[str, float], ...] = ()) -> int:
        self.accumulate = spec.train.accumulate
        batches_seen = start * spec.train.accumulate
        state = cast(TrainState, batches_seen)
        batches = self.batches(batches_seen + 1)
        runs = [(self.hooks(), past)]
        step: Any = self.step
        return cast(int, fit(spec, step, state, "hyperparams", start, batches, runs, lambda state, _: state))

    def when(self, kind: str) -> list[int]:
        return [number for name, number in self.events if name == kind]


def losses(*values: float) -> tuple[dict[str, float], ...]:
    return tuple({"loss": value, "bleu": -1.0} for value in values)


def bleus(*values: float) -> tuple[dict[str, float], ...]:
    return tuple({"bleu": value, "loss": -1.0} for value in values)


def test_a_step_is_read_after_the_next_one_is_dispatched() -> None:
    world = World()
    assert world.fit(spec(steps=5, log_every=3)) == 5
    assert [event for event in world.events if event[0] != "progress"] == [
        ("dispatch", 1),
        ("dispatch", 2),
        ("read", 1),
        ("dispatch", 3),
        ("read", 2),
        ("read", 3),  # a report waits
        ("log", 3),
        ("dispatch", 4),
        ("dispatch", 5),
        ("read", 4),
        ("read", 5),
        ("log", 5),
        ("evaluate", 5),
        ("save", 5),
    ]
    assert world.when("progress") == [1, 2, 3, 4, 5]


def test_intervals_of_log_evaluate_and_save() -> None:
    """Each has its interval, and all run after the last update."""
    world = World()
    world.fit(spec(steps=11, log_every=4, evaluate=5, checkpoint=3))
    assert world.when("evaluate") == [5, 10, 11]
    assert world.when("save") == [3, 6, 9, 11]
    assert world.when("best") == []
    assert world.states == [(kind, update) for kind, update in world.events if kind in ("evaluate", "save")]
    # An evaluation logs, so that the two can be compared; a save logs, so that a resumed run logs the same.
    assert world.when("log") == [3, 4, 5, 6, 8, 9, 10, 11]


def test_an_update_is_logged_then_evaluated_then_saved() -> None:
    """A run that is interrupted between them repeats the update, and discards its events after the last save."""
    world = World(losses(1.0))
    world.fit(spec(steps=1, early_stopping="loss"))
    assert [name for name, _ in world.events] == ["dispatch", "progress", "read", "log", "evaluate", "best", "save"]


def test_means_are_over_tokens_since_the_last_report() -> None:
    """Batches 1, 2, 3: 10 + 40 + 90 nats of 10 + 20 + 30 tokens; then 4 and 5: 160 + 250 of 40 + 50."""
    world = World()
    world.fit(spec(steps=5, log_every=3))
    assert list(world.logged) == [3, 5]
    assert world.logged[3]["loss"] == pytest.approx(140 / 60)
    assert world.logged[3]["perplexity"] == pytest.approx(math.exp(70 / 60))
    assert world.logged[5]["loss"] == pytest.approx(410 / 90)
    assert world.logged[5]["perplexity"] == pytest.approx(math.exp(205 / 90))
    # Values of the last update, not means.
    assert [values["gradient_norm"] for values in world.logged.values()] == [3 / 7, 5 / 7]
    assert [values["learning_rate"] for values in world.logged.values()] == [0.003, 0.005]


def test_speed_leaves_out_evaluating_and_saving() -> None:
    world = World()
    world.fit(spec(steps=7, log_every=2, evaluate=3, checkpoint=5))
    speeds = {update: values["tokens_per_second"] for update, values in world.logged.items()}
    assert speeds == pytest.approx({2: (10 + 20) / 4, 3: 30 / 2, 4: 40 / 2, 5: 50 / 2, 6: 60 / 2, 7: 70 / 2})


def test_several_batches_make_an_update() -> None:
    world = World()
    assert world.fit(spec(steps=3, accumulate=2, log_every=2)) == 6
    assert world.when("dispatch") == [1, 2, 3, 4, 5, 6]
    assert world.when("progress") == [1, 2, 3]
    assert world.states == [("evaluate", 6), ("save", 6)]
    assert world.logged[2]["loss"] == pytest.approx((10 + 40 + 90 + 160) / 100)
    assert world.logged[2]["tokens_per_second"] == pytest.approx(100 / (4 * STEP_SECONDS))
    assert world.logged[2]["gradient_norm"] == 4 / 7


def test_a_resumed_run_has_the_same_events() -> None:
    full, part = World(), World()
    settings = spec(steps=9, accumulate=3, log_every=3, evaluate=5, checkpoint=4)
    assert full.fit(settings) == part.fit(settings, start=4) == 27
    assert part.when("dispatch")[0] == 13
    assert part.events == full.events[full.events.index(("save", 4)) + 1 :]
    assert part.logged == {update: values for update, values in full.logged.items() if update > 4}


def test_a_finished_run_does_nothing() -> None:
    world = World()
    assert world.fit(spec(steps=5), 5, ({"loss": 1.0, "step": 5},)) == 5
    assert world.events == []


@pytest.mark.parametrize(
    ("metric", "evaluations"),
    [("loss", losses(3.0, 2.0, 2.0, 2.5, 1.0)), ("bleu", bleus(10.0, 20.0, 20.0, 15.0, 30.0))],
    ids=["loss", "bleu"],
)
def test_early_stopping(metric: str, evaluations: tuple[dict[str, float], ...]) -> None:
    """Stops after two consecutive evaluations without improvement; an equal result is no improvement."""
    world = World(evaluations)
    assert world.fit(spec(steps=99, early_stopping=metric, patience=2, evaluate=3, checkpoint=10)) == 12
    assert world.when("evaluate") == [3, 6, 9, 12]
    assert world.when("best") == [3, 6]
    assert [state for kind, state in world.states if kind == "best"] == [3, 6]
    assert world.when("save") == [10, 12]  # the last state, from which the run is known to have stopped


def test_an_improvement_resets_the_patience() -> None:
    world = World(losses(3.0, 4.0, 2.0, 4.0, 4.0))
    world.fit(spec(steps=99, early_stopping="loss", patience=2, evaluate=1, checkpoint=5))
    assert world.when("evaluate") == [1, 2, 3, 4, 5]
    assert world.when("best") == [1, 3]
    assert world.when("save") == [5]  # once, although it is due twice


def test_members_stop_independently_and_their_hooks_are_not_called_again() -> None:
    """The state of two members is [2]. The second member does not improve and stops after update 2."""
    worlds = World(losses(5.0, 4.0, 3.0)), World(losses(1.0, 1.0))
    settings = spec(steps=3, early_stopping="loss", patience=1, evaluate=1)

    def step(state: Any, source: int, target: int, hyperparams: Any) -> Any:
        worlds[0].now += STEP_SECONDS
        weights = np.array([10.0 * source, 20.0 * source])
        sums = LossSums(*(cast(Any, total) for total in (weights * [1, 3], weights, weights)))
        return state + np.array([1, 10]), StepSums(sums, cast(Any, np.array([0.5, 0.25])), cast(Any, np.ones(2)))

    batches, runs = worlds[0].batches(), [(world.hooks(), ()) for world in worlds]
    state = fit(
        settings,
        cast(Any, step),
        cast(Any, np.array([0, 0])),
        {},
        0,
        batches,
        runs,
        lambda state, n: cast(Any, state)[n],
    )
    assert cast(Any, state).tolist() == [3, 30]
    assert [worlds[0].when(kind) for kind in ("log", "evaluate", "best", "save")] == [[1, 2, 3]] * 3 + [[3]]
    assert [worlds[1].when(kind) for kind in ("log", "evaluate", "best", "save")] == [[1, 2], [1, 2], [1], [2]]
    assert worlds[1].states == [("evaluate", 10), ("best", 10), ("evaluate", 20), ("save", 20)]
    first, second = (world.logged for world in worlds)
    assert [first[update]["loss"] for update in first] == [1.0] * 3
    assert [second[update]["loss"] for update in second] == [3.0] * 2
    assert [first[update]["members"] for update in first] == [2, 2, 1]
    assert second[2]["target_tokens"] == 40
    assert second[2]["gradient_norm"] == 0.25


def test_without_early_stopping_nothing_stops() -> None:
    world = World(losses(*range(20)))
    world.fit(spec(steps=7, early_stopping="none", patience=1, evaluate=1))
    assert world.when("evaluate") == [1, 2, 3, 4, 5, 6, 7]


def test_patience_is_rebuilt_from_past_evaluations() -> None:
    """A run that is interrupted after any evaluation stops at the same update as without the interruption."""
    results = losses(3.0, 2.0, 2.5, 1.5, 1.75, 1.6, 1.0)
    settings = spec(steps=99, early_stopping="loss", patience=2, evaluate=1)
    full = World(results)
    assert full.fit(settings) == 6
    for start in range(1, 7):
        part, past = World(results[start:]), tuple({**values, "step": at} for at, values in enumerate(results, start=1))
        assert part.fit(settings, start, past[:start]) == 6
        assert part.when("best") == [update for update in (1, 2, 4) if update > start]
        assert part.when("dispatch") == list(range(start + 1, 7))


def test_a_missed_evaluation_is_made_after_resuming() -> None:
    world = World()
    assert world.fit(spec(steps=6, evaluate=2), 4, ({"loss": 1.0, "step": 2},)) == 6
    assert world.events[:2] == [("evaluate", 4), ("dispatch", 5)]
    assert world.when("evaluate") == [4, 6]


def test_a_missed_last_evaluation_is_made_after_resuming() -> None:
    """The last update is evaluated although it is no multiple of evaluate.every."""
    world = World()

    def interrupt(update: int) -> None:
        if update == 5:
            raise KeyboardInterrupt

    world.interrupts["evaluate"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.fit(spec(steps=5, evaluate=3))
    assert world.events[-1] == ("save", 5)
    continued = World()
    assert continued.fit(spec(steps=5, evaluate=3), 5, ({"loss": 1.0, "step": 3},)) == 5
    assert continued.events == [("evaluate", 5)]


def test_skipped_updates_before_an_interruption_count() -> None:
    """Updates 3, 4 and 5 are skipped, in whatever process."""
    world = World()
    world.nonfinite_batches = {5}
    runs = [(dataclasses.replace(world.hooks(), nonfinite_before=2), ())]
    state, step = cast(TrainState, 4), cast(Any, world.step)
    with pytest.raises(DivergenceError, match="in 3 consecutive updates up to 5"):
        fit(spec(steps=9, nonfinite_limit=3), step, state, "hyperparams", 4, world.batches(5), runs, lambda s, _: s)


def test_the_step_at_which_early_stopping_stopped() -> None:
    settings = spec(early_stopping="loss", patience=2)
    evaluations = [{"loss": loss, "step": 3 * at} for at, loss in enumerate((3.0, 2.0, 2.5, 2.25, 1.0), start=1)]
    assert stopping_step(settings, evaluations) == 12
    assert stopping_step(settings, evaluations[:3]) is None


@pytest.mark.parametrize(
    ("where", "when", "accumulate", "saved"),
    [
        ("check", 4, 1, 4), ("evaluate", 4, 1, 4), ("dispatch", 4, 1, 3),
        ("check", 4, 3, 4), ("evaluate", 4, 3, 4), ("dispatch", 4, 3, 1), ("dispatch", 5, 3, None),
    ],
)  # fmt: skip
def test_an_interruption_saves_a_checkpoint(where: str, when: int, accumulate: int, saved: int | None) -> None:
    """With the metrics of all updates; without a checkpoint while gradients of an incomplete update are pending."""
    world = World()

    def interrupt(number: int) -> None:
        if number == when:
            raise KeyboardInterrupt

    world.interrupts[where] = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.fit(spec(steps=9, evaluate=2, accumulate=accumulate))
    assert world.when("save") == [saved] * (saved is not None)
    if saved is not None:
        assert world.states[-1] == ("save", saved * accumulate)
        assert max(world.logged) == saved


def test_nonfinite_gradients_are_reported_and_too_many_stop_training() -> None:
    world = World()
    world.nonfinite_batches = {2, 4, 5, 8, 9, 10}
    with pytest.raises(DivergenceError, match="in 3 consecutive updates up to 10"):
        world.fit(spec(steps=20, nonfinite_limit=3))
    assert world.when("nonfinite") == [2, 4, 5, 8, 9, 10]
    assert world.when("save") == []  # a save would be the newest checkpoint, which a rollback restores


def test_an_update_of_several_batches_counts_as_one_nonfinite_update() -> None:
    world = World()
    world.nonfinite_batches = {4, 6}  # the last batches of updates 2 and 3; an accumulating step has norm 0
    with pytest.raises(DivergenceError, match="in 2 consecutive updates up to 3"):
        world.fit(spec(steps=20, nonfinite_limit=2, accumulate=2))
    assert world.when("nonfinite") == [2, 3]


def test_a_loss_of_nan_is_no_improvement() -> None:
    stopping = EarlyStopping("loss", 3)
    improved = [stopping.update({"loss": loss}) for loss in (math.nan, 2.0, math.nan, 1.0)]
    assert improved == [False, True, False, True]
    assert not stopping.should_stop


def test_a_report_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no step"):
        MetricAccumulator(clock=lambda: 0.0).report()


def test_a_hopeless_loss_has_a_perplexity() -> None:
    """exp(1000) is no float64; a diverging run is to be seen, not to end in an OverflowError."""
    meter = MetricAccumulator(clock=lambda: 0.0)
    sums = LossSums(*(cast(Any, value) for value in (1000, 1000, 1)))
    meter.add(StepSums(sums, cast(Any, 1.0), cast(Any, 1.0)))
    (values,) = meter.report()
    assert values["loss"] == 1000
    assert math.isfinite(values["perplexity"])
