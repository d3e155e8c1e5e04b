"""The goodput account, by hand arithmetic on a clock that the tests set."""

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments.runs import goodput
from experiments.runs.goodput import COMPILATION, EVALUATION, INPUT, LOST, PHASES, SAVING, START_UP, STEPS
from transformer.training import metrics
from transformer.training.metrics import NullRecorder, Recorder

COMPILING = "/jax/core/compile/backend_compile_duration"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spend(clock: Clock, stopwatch: goodput.Stopwatch, **seconds: float) -> None:
    for phase, duration in seconds.items():
        with stopwatch.phase(phase):
            clock.now += duration


def test_a_stopwatch_is_in_one_phase_at_a_time(clock: Clock) -> None:
    stopwatch = goodput.Stopwatch(clock, start=97.0)
    clock.now += 2
    with stopwatch.phase(STEPS):
        clock.now += 5
        spend(clock, stopwatch, evaluation=7)
        assert list(stopwatch.waiting(iter("ab"))) == ["a", "b"]
        clock.now += 11
    clock.now += 13
    expected = dict.fromkeys(PHASES, 0.0) | {START_UP: 3 + 2 + 13.0, STEPS: 5 + 11.0, EVALUATION: 7.0}
    assert stopwatch.seconds() == expected
    assert stopwatch.total() == 41


def test_waiting_for_input_counts_alone(clock: Clock) -> None:
    stopwatch = goodput.Stopwatch(clock)

    def slow() -> Any:
        for _ in range(3):
            clock.now += 2
            yield

    for _ in stopwatch.waiting(slow()):
        clock.now += 5
    assert (stopwatch.seconds()[INPUT], stopwatch.seconds()[START_UP]) == (6, 15)


def test_what_the_thread_compiles_is_compilation(clock: Clock) -> None:
    stopwatch = goodput.Stopwatch(clock)
    with stopwatch.phase(EVALUATION):
        clock.now += 9
        jax.monitoring.record_event_duration_secs(COMPILING, 4.0)
        jax.monitoring.record_event_duration_secs("/jax/another", 1.0)
    assert (stopwatch.seconds()[EVALUATION], stopwatch.seconds()[COMPILATION]) == (5, 4)


def test_jax_reports_its_compilations(clock: Clock) -> None:
    """The names of JAX's events are no documented interface."""
    names = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, duration_secs, **_: names.append(event))
    jax.jit(lambda x: x * 3 + 1)(jnp.ones(3)).block_until_ready()
    assert COMPILING in names


def log(path: pathlib.Path, clock: Clock) -> tuple[goodput.Stopwatch, goodput.GoodputLog]:
    """A new process: ten seconds of start-up, twenty of compilation."""
    stopwatch = goodput.Stopwatch(clock)
    spend(clock, stopwatch, start_up=10, compilation=20)
    return stopwatch, goodput.GoodputLog(path, stopwatch)


def test_shares_of_a_run_that_is_killed_twice(clock: Clock, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "goodput.jsonl"
    stopwatch, first = log(path, clock)
    first.restart(0, Recorder(tmp_path))
    spend(clock, stopwatch, steps=40, input=3)
    spend(clock, stopwatch, saving=2)
    first.record(100)  # saved
    spend(clock, stopwatch, steps=15, evaluation=5)
    first.reach(140)
    clock.now += 4  # killed: nobody knows when
    with path.open("a") as file:
        file.write('{"process": 1, "upd')
    stopwatch, second = log(path, clock)
    second.restart(100, Recorder(tmp_path))
    spend(clock, stopwatch, steps=30)
    second.reach(160)  # killed before a save
    stopwatch, third = log(path, clock)
    third.restart(100, Recorder(tmp_path))
    spend(clock, stopwatch, steps=50)
    shares = third.account(200)
    total = 3 * 30 + 40 + 3 + 2 + 20 + 30 + 50
    seconds = {START_UP: 30, COMPILATION: 60, STEPS: 90, INPUT: 3, EVALUATION: 0, SAVING: 2, LOST: 50}
    assert shares == pytest.approx(
        {"wall_seconds": total, "starts": 3, **{phase: value / total for phase, value in seconds.items()}}
    )
    assert sum(shares[phase] for phase in (*PHASES, LOST)) == pytest.approx(1)
    third.record(200)
    assert goodput.account(metrics.read_lines(path)) == shares
    assert "lost 21.3 %" in goodput.describe(shares)


def test_a_rollback_loses_everything_since_the_checkpoint(clock: Clock, tmp_path: pathlib.Path) -> None:
    stopwatch, log_ = log(tmp_path / "goodput.jsonl", clock)
    log_.restart(0, Recorder(tmp_path))
    spend(clock, stopwatch, steps=20)
    log_.record(10)
    spend(clock, stopwatch, steps=12)
    log_.record(20)
    spend(clock, stopwatch, steps=8)
    log_.restart(10, Recorder(tmp_path))  # the checkpoint of 20 is no scheduled one
    spend(clock, stopwatch, steps=30)
    shares = log_.account(30)
    assert (shares["wall_seconds"], shares[LOST] * 100, shares[STEPS] * 100) == pytest.approx((100, 20, 50))
    assert shares["starts"] == 1


def test_lines_are_few(clock: Clock, tmp_path: pathlib.Path) -> None:
    """In 100 hours of updates of one second: about ln(360,000 / 1,000) / 1 % + 1,000 / 10."""
    path = tmp_path / "goodput.jsonl"
    stopwatch = goodput.Stopwatch(clock)
    log_ = goodput.GoodputLog(path, stopwatch)
    log_.restart(0, Recorder(tmp_path))
    stopwatch.enter(STEPS)
    for update in range(0, 360_000, 7):
        clock.now += 7
        log_.reach(update)
    lines = path.read_text().splitlines()
    assert 500 < len(lines) < 800
    assert json.loads(lines[-1])[STEPS] > 0.99 * 360_000


def test_other_processes_write_nothing(clock: Clock, tmp_path: pathlib.Path) -> None:
    log_ = goodput.GoodputLog(tmp_path / "goodput.jsonl", goodput.Stopwatch(clock))
    log_.restart(0, NullRecorder())
    log_.record(1)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_clock_has_no_shares(tmp_path: pathlib.Path) -> None:
    log_ = goodput.GoodputLog(tmp_path / "goodput.jsonl", goodput.Stopwatch(lambda: 0.0))
    assert log_.account(1)["wall_seconds"] == 0
