import json

import pytest

from experiments.benchmark import profile
from experiments.benchmark.profile import Event
from experiments.benchmark.workloads import Workload

MS = 1e6


def test_time_is_summed_by_kind_and_counted_once() -> None:
    """A loop of 10 ms contains 7 ms of matmuls; 5 ms of another operation on a second line; 20 ms in total."""
    events = [
        Event("host", "a", "dot.2", 2 * MS, 5 * MS),
        Event("host", "a", "while.1", 1 * MS, 11 * MS),
        Event("host", "a", "dot.13", 6 * MS, 10 * MS),
        Event("host", "b", "add_fusion.clone.3", 16 * MS, 21 * MS),
    ]
    result = profile.summarise(events, updates=2, devices=2)
    assert result["operations"] == [["dot", 3.5, 1.0], ["add_fusion", 2.5, 0.5], ["while", 1.5, 0.5]]
    assert result["busy_milliseconds"] == 7.5
    assert result["idle"] == pytest.approx(1 - 15 / 40)


def test_nested_loops() -> None:
    operations = [("x", 0, 10), ("y", 0, 6), ("z", 1, 3)]
    events = [Event("host", "a", name, start * MS, end * MS) for name, start, end in operations]
    assert profile.summarise(events, 1, 1)["operations"] == [["x", 4.0, 1.0], ["y", 4.0, 1.0], ["z", 2.0, 1.0]]


def test_overlapping_streams_count_once_for_the_idle_fraction() -> None:
    """On an accelerator, 4 ms of one stream lie within 6 ms of another, and 10 ms pass in total."""
    operations = [("a", 0, 6), ("b", 1, 5), ("a", 9, 10)]
    events = [Event("/device:GPU:0", stream, "x", start * MS, end * MS) for stream, start, end in operations]
    result = profile.summarise(events, 1, 1)
    assert (result["busy_milliseconds"], result["idle"]) == (11.0, 0.3)
    assert profile.summarise([event._replace(plane="host") for event in events], 1, 2)["idle"] == 0.45


def test_no_events() -> None:
    result = profile.summarise([], 1, 1)
    assert result == {"operations": [], "busy_milliseconds": 0.0, "idle": None}
    rest = {"milliseconds": 1.0, "milliseconds_profiled": 1.0, "devices": 1, "device": "x"}
    assert "unknown" in profile.table(result | rest, 3)


@pytest.mark.slow
def test_a_training_step_is_profiled() -> None:
    """Uses the devices of the tests, because JAX has already started."""
    result = profile.measure(Workload(12, 17, 3, 1, 43, rows=8, width=7), updates=2, overrides=[])
    kinds = [kind for kind, _, _ in result["operations"]]
    assert any("dot" in kind or "ynn" in kind for kind in kinds)
    assert result["busy_milliseconds"] > 0
    assert 0 <= result["idle"] < 1
    assert len(profile.table(result, 3).splitlines()) == 4 + 3 + 1
    json.dumps(result)
