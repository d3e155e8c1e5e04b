import json

import pytest

from experiments.benchmark import profile
from experiments.benchmark.profile import Event
from experiments.benchmark.works import Work

MS = 1e6


def test_time_is_summed_by_kind_and_counts_once() -> None:
    """A loop of 10 ms with 7 ms of products inside, beside 5 ms of another on a second line; 20 ms in all."""
    seen = [
        Event("host", "a", "dot.2", 2 * MS, 5 * MS),
        Event("host", "a", "while.1", 1 * MS, 11 * MS),
        Event("host", "a", "dot.13", 6 * MS, 10 * MS),
        Event("host", "b", "add_fusion.clone.3", 16 * MS, 21 * MS),
    ]
    found = profile.summary(seen, updates=2, devices=2)
    assert found["operations"] == [["dot", 3.5, 1.0], ["add_fusion", 2.5, 0.5], ["while", 1.5, 0.5]]
    assert found["busy_milliseconds"] == 7.5
    assert found["idle"] == pytest.approx(1 - 15 / 40)


def test_loops_in_loops() -> None:
    seen = [
        Event("host", "a", name, begin * MS, end * MS) for name, begin, end in [("x", 0, 10), ("y", 0, 6), ("z", 1, 3)]
    ]
    assert profile.summary(seen, 1, 1)["operations"] == [["x", 4.0, 1.0], ["y", 4.0, 1.0], ["z", 2.0, 1.0]]


def test_streams_that_overlap_count_once_for_what_is_idle() -> None:
    """Of an accelerator: 4 ms of one stream lie within 6 of another, and 10 ms pass in all."""
    begun = [("a", 0, 6), ("b", 1, 5), ("a", 9, 10)]
    seen = [Event("/device:GPU:0", stream, "x", begin * MS, end * MS) for stream, begin, end in begun]
    found = profile.summary(seen, 1, 1)
    assert (found["busy_milliseconds"], found["idle"]) == (11.0, 0.3)
    assert profile.summary([event._replace(plane="host") for event in seen], 1, 2)["idle"] == 0.45


def test_nothing_seen() -> None:
    found = profile.summary([], 1, 1)
    assert found == {"operations": [], "busy_milliseconds": 0.0, "idle": None}
    rest = {"milliseconds": 1.0, "milliseconds_profiled": 1.0, "devices": 1, "device": "x"}
    assert "not known" in profile.table(found | rest, 3)


def test_a_training_step_is_profiled() -> None:
    """Tests' devices are used: JAX runs already."""
    found = profile.measure(Work(12, 17, 3, 1, 43, rows=8, width=7), updates=2, changes=[])
    kinds = [kind for kind, _, _ in found["operations"]]
    assert any("dot" in kind or "ynn" in kind for kind in kinds)
    assert found["busy_milliseconds"] > 0
    assert 0 <= found["idle"] < 1
    assert len(profile.table(found, 3).splitlines()) == 4 + 3 + 1
    json.dumps(found)
