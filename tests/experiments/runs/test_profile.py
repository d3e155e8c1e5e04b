"""A trace of some updates."""

import pathlib
from typing import Any

import jax
import pytest

from experiments.runs.profile import ProfiledSteps


class Traces:
    """Records the calls between which a trace goes on, instead of tracing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.start, self.traced, self.lines = 0, 0, list[tuple[int, int]](), list[str]()
        monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: setattr(self, "start", self.calls))
        monkeypatch.setattr(jax.profiler, "stop_trace", lambda: self.traced.append((self.start, self.calls)))

    def run(self, updates: range, start: int, stop: int, accumulate: int = 1) -> None:
        def step(state: int, *_: Any) -> tuple[int, None]:
            self.calls += 1
            return state + 1, None

        with ProfiledSteps(step, updates, start, accumulate, pathlib.Path("profile"), self.lines.append) as profiled:
            for call in range((stop - start) * accumulate):
                assert profiled(call, "batch")[0] == call + 1


@pytest.mark.parametrize(
    ("start", "stop", "accumulate", "traced", "line"),
    [
        (0, 9, 1, [(2, 5)], "updates 3 to 5"),
        (0, 9, 2, [(4, 10)], "updates 3 to 5"),
        (0, 5, 1, [(2, 5)], "updates 3 to 5"),
        (3, 9, 1, [(0, 2)], "updates 4 to 5"),  # a run that continues
        (0, 4, 1, [(2, 4)], "updates 3 to 4"),  # one that ends early
        (5, 9, 1, [], "nothing was traced"),
        (0, 2, 1, [], "nothing was traced"),
    ],
)
def test_which_updates_are_traced(
    start: int, stop: int, accumulate: int, traced: list[Any], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = Traces(monkeypatch)
    traces.run(range(3, 6), start, stop, accumulate)
    assert traces.traced == traced
    (reported,) = traces.lines
    assert line in reported


def test_an_error_ends_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = Traces(monkeypatch)

    def step(state: int) -> tuple[int, None]:
        if state == 4:
            raise KeyboardInterrupt
        return state, None

    with ProfiledSteps(step, range(3, 9), 0, 1, pathlib.Path("profile"), traces.lines.append) as profiled:
        for call in range(4):
            profiled(call)
        with pytest.raises(KeyboardInterrupt):
            profiled(4)
    assert "updates 3 to 4" in traces.lines[0]


def test_a_trace_is_readable_and_names_the_steps(tmp_path: pathlib.Path) -> None:
    double = jax.jit(lambda state: (state * 2, None))
    with ProfiledSteps(double, range(2, 4), 0, 1, tmp_path, lambda line: None) as profiled:
        state = jax.numpy.ones(3)
        for _ in range(4):
            state, _ = profiled(state)
    (path,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    profile = jax.profiler.ProfileData.from_file(str(path))
    events = (event for plane in profile.planes for line in plane.lines for event in line.events)
    assert [dict(event.stats)["step_num"] for event in events if event.name == "train"] == [2, 3]
