"""Parses topologies by name, and computes how much a chip can send."""

import pytest

from launch.planner.topology import GENERATIONS, Topology


@pytest.mark.parametrize(
    ("name", "chips", "host"),
    [
        ("v5e:4x4", 16, (2, 2, 1)),
        ("v5e:1x1", 1, (1, 1, 1)),
        ("v5p:2x2x4", 16, (2, 2, 1)),
        ("v4:2x2x1", 4, (2, 2, 1)),
        ("tpu7x:2x2x2", 8, (2, 2, 1)),
        ("v3:4x4", 16, (2, 2, 1)),
    ],
)
def test_a_name_gives_the_number_of_chips(name: str, chips: int, host: tuple[int, int, int]) -> None:
    topology = Topology.parse(name)
    assert (str(topology), topology.chips, topology.chips_per_host) == (name, chips, host)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e", "none of v2, v3, v4, v5e, v5p, v6e, tpu7x"),
        ("tpu7:2x2x1", r"'tpu7:2x2x1' is none of .*; did you mean tpu7x:2x2x1\?"),
        ("v9:2x2", "'v9:2x2' is none of"),
        ("v5e:2x", "none of"),
        ("v5e:2x2x1", "has 3 axes, but chips of v5e are linked along 2: v5e:2x2"),
        ("v5p:2x2", "has 2 axes, but chips of v5p are linked along 3: v5p:2x2x1"),
        ("v6e:3x2", "there is no slice v6e:3x2"),
        ("v6e:0x2", "there is no slice v6e:0x2"),
        ("v5e:16x32", "at most 256 chips"),
    ],
)
def test_an_invalid_topology_is_an_error(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Topology.parse(name)


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("v5e:1x2", 1),  # one neighbour
        ("v5e:2x2", 2),
        ("v5e:8x8", 2),  # the chip in the corner
        ("v5e:16x8", 3),  # both ways around the long axis
        ("v6e:16x16", 4),
        ("v5p:2x2x4", 3),  # not a complete cube
        ("v5p:4x4x8", 6),
        ("tpu7x:4x4x4", 6),
        ("v3:4x8", 2),
        ("tpu7x:1x1x1", 1),  # between the cores of a chip
    ],
)
def test_the_chip_with_the_fewest_links_decides(name: str, links: int) -> None:
    topology = Topology.parse(name)
    assert topology.send_bandwidth(topology.devices) == links * topology.generation.link_bandwidth


def test_a_group_within_a_slice_has_one_axis() -> None:
    assert Topology.parse("v5e:4x4").send_bandwidth(4) == 50e9
    assert Topology.parse("v5e:16x16").send_bandwidth(16) == 100e9


def test_links_add_up_to_the_published_bandwidth_of_a_chip() -> None:
    published = {name: 2 * 2 * each.axes * each.link_bandwidth / 1e9 for name, each in GENERATIONS.items()}
    assert {name: published[name] for name in ("v5e", "v5p", "v6e", "tpu7x")} == {
        "v5e": 400,
        "v5p": 1200,
        "v6e": 800,
        "tpu7x": 1200,
    }


def test_a_chip_of_two_cores_is_two_devices() -> None:
    topology = Topology.parse("tpu7x:2x2x1")
    assert (topology.chips, topology.devices, topology.device_memory) == (4, 8, 96 << 30)
    assert Topology.parse("v5p:2x2x1").devices == 4


def test_doublings() -> None:
    assert [str(each) for each in Topology.parse("v5e:4x4").doublings()] == [
        f"v5e:{shape}" for shape in "1x1 1x2 2x2 2x4 4x4 4x8 8x8 8x16 16x16".split()
    ]
    assert [str(each) for each in Topology.parse("v5p:2x2x1").doublings()][:5] == [
        f"v5p:{shape}" for shape in "1x1x1 2x1x1 2x2x1 2x2x2 4x2x2".split()
    ]
    for each in [*Topology.parse("v4:2x2x1").doublings(), *Topology.parse("v6e:2x2").doublings()]:
        assert Topology.parse(str(each)) == each
