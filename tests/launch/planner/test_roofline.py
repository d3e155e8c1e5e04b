"""Least times, checked against hand arithmetic for a v5e: 197 TFLOP/s, 819 GB/s of HBM, 50 GB/s per link."""

import pytest

from launch.planner import roofline
from launch.planner.hlo import Collective, Traffic
from launch.planner.topology import Topology
from transformer.spec import PRECISIONS

PAIR, SQUARE = Topology.parse("v5e:1x2"), Topology.parse("v5e:2x2")


def test_matmuls_and_hbm_overlap_and_collectives_do_not() -> None:
    all_reduce = Collective("all-reduce", 100e9, 2, 1)  # half of the array is sent, and half received
    time = roofline.least_time(2 * 197e12, Traffic(819e9 * 0.5, [all_reduce]), PAIR)
    assert (time.arithmetic, time.memory, time.exchange) == (1.0, 0.5, 2.0)
    assert time.total == 3.0
    assert time.bound == "exchange"
    time = roofline.least_time(2 * 197e12, Traffic(819e9 * 4), PAIR)
    assert (time.total, time.bound) == (4.0, "memory")


@pytest.mark.parametrize(
    ("kind", "group", "seconds"),
    [
        ("all-reduce", 4, 2 * 0.75),
        ("all-gather", 4, 0.75),
        ("reduce-scatter", 4, 0.75),
        ("all-gather", 2, 0.5 * 2),  # along one of the two axes
        ("collective-permute", 4, 2.0),  # over one link
        ("all-reduce", 1, 0.0),
    ],
)
def test_a_collective_uses_the_links_of_its_group(kind: str, group: int, seconds: float) -> None:
    assert roofline.collective_time(Collective(kind, 100e9, group, 3), SQUARE) == pytest.approx(3 * seconds)


def test_more_chips_divide_the_batch_but_not_the_update() -> None:
    scaled = roofline.data_parallel(197e12, Traffic(3 * 819e9), 819e9, SQUARE, rows=4, gradients=0.0)
    assert list(map(str, scaled)) == ["v5e:1x1", "v5e:1x2", "v5e:2x2"]  # at most as many chips as rows
    assert [time.memory for time in scaled.values()] == [1 + 8, 1 + 4, 1 + 2]
    assert [time.arithmetic for time in scaled.values()] == [1, 0.5, 0.25]


def test_fewer_than_a_quarter_of_the_chips_are_left_out() -> None:
    scaled = roofline.data_parallel(1.0, Traffic(1.0), 0.0, Topology.parse("v5e:4x4"), rows=32, gradients=0.0)
    assert list(map(str, scaled)) == ["v5e:2x2", "v5e:2x4", "v5e:4x4", "v5e:4x8"]


def test_scaling_to_the_same_slice_returns_its_time() -> None:
    traffic = Traffic(5e9, [Collective("all-reduce", 1e9, 4, 1)])
    scaled = roofline.data_parallel(1e12, traffic, 2e9, SQUARE, rows=100, gradients=1e9)
    assert scaled[SQUARE] == roofline.least_time(1e12, traffic, SQUARE)


def test_every_precision_has_a_number_of_passes() -> None:
    assert tuple(roofline.PASSES) == PRECISIONS
    assert roofline.PASSES == {"default": 1, "tensorfloat32": 3, "float32": 6}


def test_collectives_by_kind() -> None:
    totals = roofline.by_kind([Collective("all-reduce", 5, 4, 2), Collective("all-reduce", 7, 2, 1)])
    assert totals == {"all-reduce": {"count": 3, "bytes": 17}}
