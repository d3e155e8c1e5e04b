"""Times at best, worked out by hand for a v5e: 197 TFLOP/s, 819 GB/s of HBM, 50 GB/s a link."""

import pytest

from launch.planner import roofline
from launch.planner.hlo import Collective, Moved
from launch.planner.topology import Slice

PAIR, SQUARE = Slice.named("v5e:1x2"), Slice.named("v5e:2x2")


def test_products_and_hbm_overlap_and_exchanges_come_on_top() -> None:
    exchange = Collective("all-reduce", 100e9, 2, 1)  # half of it out, and half of it back
    found = roofline.time(2 * 197e12, Moved(819e9 * 0.5, [exchange]), PAIR)
    assert (found.arithmetic, found.memory, found.exchange) == (1.0, 0.5, 2.0)
    assert found.total == 3.0
    assert found.bound == "exchange"
    found = roofline.time(2 * 197e12, Moved(819e9 * 4), PAIR)
    assert (found.total, found.bound) == (4.0, "memory")


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
def test_an_exchange_sends_its_share_over_the_links_there_are(kind: str, group: int, seconds: float) -> None:
    assert roofline.exchange(Collective(kind, 100e9, group, 3), SQUARE) == pytest.approx(3 * seconds)


def test_more_chips_share_the_batch_and_not_the_update() -> None:
    found = roofline.data_parallel(197e12, Moved(3 * 819e9), 819e9, SQUARE, rows=4, gradients=0.0)
    assert [str(each.where) for each in found] == ["v5e:1x1", "v5e:1x2", "v5e:2x2"]  # not more chips than rows
    assert [each.time.memory for each in found] == [1 + 8, 1 + 4, 1 + 2]
    assert [each.time.arithmetic for each in found] == [1, 0.5, 0.25]


def test_nothing_is_foretold_of_less_than_a_quarter_of_the_chips() -> None:
    found = roofline.data_parallel(1.0, Moved(1.0), 0.0, Slice.named("v5e:4x4"), rows=32, gradients=0.0)
    assert [str(each.where) for each in found] == ["v5e:2x2", "v5e:2x4", "v5e:4x4", "v5e:4x8"]


def test_scaling_to_the_slice_itself_gives_its_time() -> None:
    moved = Moved(5e9, [Collective("all-reduce", 1e9, 4, 1)])
    same = roofline.data_parallel(1e12, moved, 2e9, SQUARE, rows=100, gradients=1e9)[2]
    assert same.where == SQUARE
    assert same.time == roofline.time(1e12, moved, SQUARE)


def test_exchanges_by_kind() -> None:
    found = roofline.by_kind([Collective("all-reduce", 5, 4, 2), Collective("all-reduce", 7, 2, 1)])
    assert found == {"all-reduce": {"count": 3, "bytes": 17}}
