"""The loop with everything around it faked: what it does, when, and on which numbers."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import pytest

from configs import base
from transformer.ops.losses import LossSums
from transformer.spec import Spec
from transformer.training.loop import Batch, DivergenceError, Hooks, Meter, Stopping, fit
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
    """Notes what happens, in order; its clock moves only while a step is dispatched, an evaluation or a save runs.

    Batch k has 10 k tokens, a loss of k nats and a negative log-likelihood of k / 2 nats a token. The state is the
    number of batches seen.
    """

    def __init__(self, evaluations: tuple[dict[str, float], ...] = ()) -> None:
        self.events: list[tuple[str, int]] = []
        self.logged: dict[int, dict[str, float]] = {}
        self.states: list[tuple[str, int]] = []
        self.evaluations = iter(evaluations)
        self.ends: dict[str, Callable[[int], None]] = {}  # what happens besides, by place
        self.spoiled_batches: set[int] = set()
        self.accumulate = 1
        self.now = 1e6

    def batches(self, first: int = 1) -> Iterator[Batch]:
        while True:
            yield cast(Batch, Numbered(first, -first))
            first += 1

    def step(self, state: int, source: int, target: int, numbers: str) -> tuple[int, StepSums]:
        assert (target, numbers) == (-source, "numbers")
        self.ends.get("dispatch", lambda batch: None)(source)
        self.events.append(("dispatch", source))
        self.now += STEP_SECONDS
        weight, world = 10 * source, self

        class Weight:
            """Is on the device until somebody wants to know it."""

            def __array__(self, *_: Any, **__: Any) -> np.ndarray:
                world.events.append(("read", source))
                return np.array(weight, np.float32)

            def __float__(self) -> float:
                return float(self.__array__())

        sums = LossSums(cast(Any, weight * source), cast(Any, weight * source / 2), cast(Any, Weight()))
        norm = math.nan if source in self.spoiled_batches else 0.0 if source % self.accumulate else source / 7
        return state + 1, StepSums(sums, cast(Any, norm), cast(Any, source / 1000))

    def hooks(self) -> Hooks:
        def log(update: int, values: dict[str, float]) -> None:
            self.events.append(("log", update))
            self.logged[update] = values

        def evaluate(update: int, state: Any) -> dict[str, float]:
            self.ends.get("evaluate", lambda update: None)(update)
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

        def spoiled(update: int) -> None:
            self.events.append(("spoiled", update))

        def check(update: int) -> None:
            assert update == self.when("progress")[-1]
            self.ends.get("check", lambda update: None)(update)

        return Hooks(log, evaluate, save, best, spoiled, progress, clock=lambda: self.now, check=check)

    def fit(self, spec: Spec, start: int = 0, past: tuple[dict[str, float], ...] = ()) -> int:
        self.accumulate = spec.train.accumulate
        seen = start * spec.train.accumulate
        state = cast(TrainState, seen)
        batches = self.batches(seen + 1)
        runs = [(self.hooks(), past)]
        step: Any = self.step
        return cast(int, fit(spec, step, state, "numbers", start, batches, runs, lambda whole, _: whole))

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


def test_what_happens_at_which_update() -> None:
    """Each at its own pace, and everything after the last update."""
    world = World()
    world.fit(spec(steps=11, log_every=4, evaluate=5, checkpoint=3))
    assert world.when("evaluate") == [5, 10, 11]
    assert world.when("save") == [3, 6, 9, 11]
    assert world.when("best") == []
    assert world.states == [(kind, update) for kind, update in world.events if kind in ("evaluate", "save")]
    # With an evaluation, so that the two can be compared; with a save, so that continuing from it logs the same.
    assert world.when("log") == [3, 4, 5, 6, 8, 9, 10, 11]


def test_an_update_is_logged_then_evaluated_then_saved() -> None:
    """A run cut off between them repeats the update, and its events after the last save are forgotten."""
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
    # Facts about the last update, not means.
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


def test_a_run_continues_where_it_was() -> None:
    whole, part = World(), World()
    settings = spec(steps=9, accumulate=3, log_every=3, evaluate=5, checkpoint=4)
    assert whole.fit(settings) == part.fit(settings, start=4) == 27
    assert part.when("dispatch")[0] == 13
    assert part.events == whole.events[whole.events.index(("save", 4)) + 1 :]
    assert part.logged == {update: values for update, values in whole.logged.items() if update > 4}


def test_a_finished_run_does_nothing() -> None:
    world = World()
    assert world.fit(spec(steps=5), start=5) == 5
    assert world.events == []


@pytest.mark.parametrize(
    ("metric", "evaluations"),
    [("loss", losses(3.0, 2.0, 2.0, 2.5, 1.0)), ("bleu", bleus(10.0, 20.0, 20.0, 15.0, 30.0))],
    ids=["loss", "bleu"],
)
def test_early_stopping(metric: str, evaluations: tuple[dict[str, float], ...]) -> None:
    """Two evaluations in a row that are not better; as good is not better."""
    world = World(evaluations)
    assert world.fit(spec(steps=99, early_stopping=metric, patience=2, evaluate=3, checkpoint=10)) == 12
    assert world.when("evaluate") == [3, 6, 9, 12]
    assert world.when("best") == [3, 6]
    assert [state for kind, state in world.states if kind == "best"] == [3, 6]
    assert world.when("save") == [10, 12]  # the state that was stopped at, so that the run is known to be over


def test_an_improvement_starts_the_patience_anew() -> None:
    world = World(losses(3.0, 4.0, 2.0, 4.0, 4.0))
    world.fit(spec(steps=99, early_stopping="loss", patience=2, evaluate=1, checkpoint=5))
    assert world.when("evaluate") == [1, 2, 3, 4, 5]
    assert world.when("best") == [1, 3]
    assert world.when("save") == [5]  # once, although it is due for two reasons


def test_members_stop_each_for_itself_and_those_that_have_hear_nothing_more() -> None:
    """Members of a state [2]; the second one's evaluations get no better, and it is told no more after update 2."""
    worlds = World(losses(5.0, 4.0, 3.0)), World(losses(1.0, 1.0))
    settings = spec(steps=3, early_stopping="loss", patience=1, evaluate=1)

    def step(state: Any, source: int, target: int, numbers: Any) -> Any:
        worlds[0].now += STEP_SECONDS
        weights = np.array([10.0 * source, 20.0 * source])
        sums = LossSums(*(cast(Any, each) for each in (weights * [1, 3], weights, weights)))
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
        lambda whole, n: cast(Any, whole)[n],
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
    """A run cut off after any evaluation stops where it would have stopped."""
    results = losses(3.0, 2.0, 2.5, 1.5, 1.75, 1.6, 1.0)
    settings = spec(steps=99, early_stopping="loss", patience=2, evaluate=1)
    whole = World(results)
    assert whole.fit(settings) == 6
    for start in range(1, 7):
        part, past = World(results[start:]), tuple({**values, "step": at} for at, values in enumerate(results, start=1))
        assert part.fit(settings, start, past[:start]) == 6
        assert part.when("best") == [update for update in (1, 2, 4) if update > start]
        assert part.when("dispatch") == list(range(start + 1, 7))


def test_an_evaluation_that_was_cut_off_is_made_up_for() -> None:
    world = World()
    assert world.fit(spec(steps=6, evaluate=2), 4, ({"loss": 1.0, "step": 2},)) == 6
    assert world.events[:2] == [("evaluate", 4), ("dispatch", 5)]
    assert world.when("evaluate") == [4, 6]


@pytest.mark.parametrize(
    ("where", "when", "accumulate", "saved"),
    [
        ("check", 4, 1, 4), ("evaluate", 4, 1, 4), ("dispatch", 4, 1, 3),
        ("check", 4, 3, 4), ("evaluate", 4, 3, 4), ("dispatch", 4, 3, 1), ("dispatch", 5, 3, None),
    ],
)  # fmt: skip
def test_what_ends_training_leaves_a_checkpoint(where: str, when: int, accumulate: int, saved: int | None) -> None:
    """Of all that was made, and with its metrics; but none while gradients of half an update are pending."""
    world = World()

    def end(number: int) -> None:
        if number == when:
            raise KeyboardInterrupt

    world.ends[where] = end
    with pytest.raises(KeyboardInterrupt):
        world.fit(spec(steps=9, evaluate=2, accumulate=accumulate))
    assert world.when("save") == [saved] * (saved is not None)
    if saved is not None:
        assert world.states[-1] == ("save", saved * accumulate)
        assert max(world.logged) == saved


def test_updates_without_a_finite_gradient_are_told_of_and_end_training_when_there_are_too_many() -> None:
    world = World()
    world.spoiled_batches = {2, 4, 5, 8, 9, 10}
    with pytest.raises(DivergenceError, match="in 3 updates in a row, the last of them 10"):
        world.fit(spec(steps=20, nonfinite_limit=3))
    assert world.when("spoiled") == [2, 4, 5, 8, 9, 10]
    assert world.when("save") == []  # or it would be the newest checkpoint, to which one goes back


def test_an_update_of_several_batches_is_spoiled_once() -> None:
    world = World()
    world.spoiled_batches = {4, 6}  # the last of updates 2 and 3; a step that only adds up has norm 0
    with pytest.raises(DivergenceError, match="in 2 updates in a row, the last of them 3"):
        world.fit(spec(steps=20, nonfinite_limit=2, accumulate=2))
    assert world.when("spoiled") == [2, 3]


def test_a_loss_that_is_no_number_is_no_improvement() -> None:
    stopping = Stopping("loss", 3)
    improved = [stopping.improved({"loss": loss}) for loss in (math.nan, 2.0, math.nan, 1.0)]
    assert improved == [False, True, False, True]
    assert not stopping.stop


def test_a_report_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no step"):
        Meter(clock=lambda: 0.0).report()


def test_a_hopeless_loss_has_a_perplexity() -> None:
    """exp(1000) is no float64; a diverging run is to be seen, not to end in an OverflowError."""
    meter = Meter(clock=lambda: 0.0)
    sums = LossSums(*(cast(Any, value) for value in (1000, 1000, 1)))
    meter.add(StepSums(sums, cast(Any, 1.0), cast(Any, 1.0)))
    (values,) = meter.report()
    assert values["loss"] == 1000
    assert math.isfinite(values["perplexity"])
