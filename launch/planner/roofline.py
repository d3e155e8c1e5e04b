"""Roofline estimates: the least time of a program, from its FLOPs, its traffic and the chips' peak rates."""

from collections.abc import Sequence
from typing import NamedTuple

from launch.planner.hlo import Collective, Traffic
from launch.planner.topology import Topology

# Passes of bfloat16 matmuls that a TPU makes for a float32 one, by model.matmul_precision.
PASSES = {"default": 1, "tensorfloat32": 3, "float32": 6}
ASSUMPTIONS = (
    "matmuls run at the bfloat16 peak; a float32 matmul is 1, 3 or 6 bfloat16 passes: model.matmul_precision=default, "
    "tensorfloat32 or float32; matmuls that model.remat repeats do not count",
    "arithmetic and HBM traffic overlap completely; collectives overlap with nothing",
    "a collective uses all links of a chip, and an all-reduce sends everything twice; no latencies, no input stalls",
)


class LeastTime(NamedTuple):
    """The least time of a program, in seconds: of the matmuls' bfloat16 passes, the HBM traffic and the collectives."""

    arithmetic: float
    memory: float
    exchange: float

    @property
    def total(self) -> float:
        """Time of the program."""
        return max(self.arithmetic, self.memory) + self.exchange

    @property
    def bound(self) -> str:
        """The part that takes longest."""
        return max(self._fields, key=lambda name: getattr(self, name))


def least_time(flops: float, traffic: Traffic, topology: Topology) -> LeastTime:
    """Returns the least time of a program with `flops` on all chips and `traffic` on each device.

    `flops` are those of bfloat16 passes: of float32 matmuls, `PASSES` times the FLOPs.
    """
    generation = topology.generation
    return LeastTime(
        flops / topology.chips / generation.flops,
        traffic.hbm / (generation.bandwidth / generation.cores),
        sum(collective_time(collective, topology) for collective in traffic.collectives),
    )


def collective_time(collective: Collective, topology: Topology) -> float:
    """Returns the seconds of a collective, over all its executions."""
    group = collective.group
    if collective.kind == "collective-permute":
        return collective.count * collective.size / topology.generation.link_bandwidth
    passes = 2 if collective.kind == "all-reduce" else 1  # an all-reduce reduces, then gathers
    sent = (group - 1) / group
    return collective.count * passes * sent * collective.size / topology.send_bandwidth(group) if group > 1 else 0.0


# On fewer chips each chip has many more rows, and the small traffic for its rows on `topology` would be extrapolated
# too far.
_MAX_REDUCTION = 4


def data_parallel(
    flops: float, traffic: Traffic, fixed: float, topology: Topology, rows: int, gradients: float
) -> dict[Topology, LeastTime]:
    """Extrapolates a data-parallel step to other slices of the generation, from a quarter of the chips upwards.

    Args:
      flops: FLOPs on all chips, as for `least_time`.
      traffic: traffic on each device of `topology`.
      fixed: bytes of HBM traffic on each device that do not depend on its rows: parameters and their update.
      topology: the slice that the program was compiled for.
      rows: rows of a batch; slices with more devices than rows are left out.
      gradients: bytes of gradients that are summed over the devices.
    """
    batch = max(traffic.hbm - fixed, 0.0) * topology.devices
    times = {}
    for other in topology.doublings():
        if topology.chips / _MAX_REDUCTION <= other.chips and other.devices <= rows:
            sums = [Collective("all-reduce", gradients, other.devices, 1)]
            times[other] = least_time(flops, Traffic(fixed + batch / other.devices, sums), other)
    return times


def by_kind(collectives: Sequence[Collective]) -> dict[str, dict[str, float]]:
    """Returns the number of collectives of each kind, and their bytes."""
    totals: dict[str, dict[str, float]] = {}
    for collective in collectives:
        total = totals.setdefault(collective.kind, {"count": 0, "bytes": 0.0})
        total["count"] += collective.count
        total["bytes"] += collective.count * collective.size
    return totals
