"""Roofline estimates: the least time of a program, from its FLOPs, its traffic and what the chips can do."""

import dataclasses
from collections.abc import Sequence

from launch.planner.hlo import Collective, Traffic
from launch.planner.topology import Topology

ASSUMPTIONS = (
    "matmuls run at the bfloat16 peak, also in float32: JAX multiplies float32 in one bfloat16 pass on a TPU",
    "arithmetic and HBM traffic overlap completely; collectives overlap with nothing",
    "a collective uses all links of a chip, and an all-reduce sends everything twice; no latencies, no input stalls",
)


@dataclasses.dataclass(frozen=True)
class LeastTime:
    """The least time of a program, in seconds.

    Attributes:
      arithmetic: time of the matmuls.
      memory: time of the HBM traffic.
      exchange: time of the collectives.
    """

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
        return max(("arithmetic", "memory", "exchange"), key=lambda name: getattr(self, name))


def least_time(flops: float, traffic: Traffic, topology: Topology) -> LeastTime:
    """Returns the least time of a program with `flops` on all chips and `traffic` on each chip."""
    generation = topology.generation
    return LeastTime(
        flops / topology.chips / generation.flops,
        traffic.hbm / generation.bandwidth,
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


@dataclasses.dataclass(frozen=True)
class ScaledTime:
    """The same batch on another slice.

    Attributes:
      topology: the slice.
      time: least time of a step.
    """

    topology: Topology
    time: LeastTime


def data_parallel(
    flops: float, traffic: Traffic, fixed: float, topology: Topology, rows: int, gradients: float
) -> list[ScaledTime]:
    """Extrapolates a data-parallel step to other slices of the generation, from a quarter of the chips upwards.

    Args:
      flops: FLOPs on all chips.
      traffic: traffic on each chip of `topology`.
      fixed: bytes of HBM traffic on each chip that do not depend on its rows: parameters and their update.
      topology: the slice that the program was compiled for.
      rows: rows of a batch; slices with more chips than rows are left out.
      gradients: bytes of gradients that are summed over the chips.
    """
    batch = max(traffic.hbm - fixed, 0.0) * topology.chips
    times = []
    for other in topology.doublings():
        if topology.chips / _MAX_REDUCTION <= other.chips <= rows:
            sums = [Collective("all-reduce", gradients, other.chips, 1)]
            other_traffic = Traffic(fixed + batch / other.chips, sums)
            times.append(ScaledTime(other, least_time(flops, other_traffic, other)))
    return times


def by_kind(collectives: Sequence[Collective]) -> dict[str, dict[str, float]]:
    """Returns the number of collectives of each kind, and their bytes."""
    totals: dict[str, dict[str, float]] = {}
    for collective in collectives:
        total = totals.setdefault(collective.kind, {"count": 0, "bytes": 0.0})
        total["count"] += collective.count
        total["bytes"] += collective.count * collective.size
    return totals
