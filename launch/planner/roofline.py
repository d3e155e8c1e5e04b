"""How long a program takes at best, from what it multiplies and moves and from what the chips can do."""

import dataclasses
from collections.abc import Sequence

from launch.planner.hlo import Collective, Moved
from launch.planner.topology import Slice

ASSUMPTIONS = (
    "products at the bfloat16 peak, float32 ones too: JAX multiplies them in one bfloat16 pass on a TPU",
    "arithmetic hides behind traffic to HBM or the other way round, exchanges between chips hide behind nothing",
    "an exchange uses all links of a chip, an all-reduce sends everything twice; no latencies, no waiting for data",
)


@dataclasses.dataclass(frozen=True)
class Time:
    """Seconds at best.

    Attributes:
      arithmetic: if nothing but products took time.
      memory: if nothing but HBM did.
      exchange: between chips.
    """

    arithmetic: float
    memory: float
    exchange: float

    @property
    def total(self) -> float:
        """Of the program."""
        return max(self.arithmetic, self.memory) + self.exchange

    @property
    def bound(self) -> str:
        """What takes most of it."""
        return max(("arithmetic", "memory", "exchange"), key=lambda name: getattr(self, name))


def time(flops: float, moved: Moved, where: Slice) -> Time:
    """The time of a program with `flops` over all chips, that moves so much on each."""
    generation = where.generation
    return Time(
        flops / where.chips / generation.flops,
        moved.hbm / generation.bandwidth,
        sum(exchange(each, where) for each in moved.collectives),
    )


def exchange(collective: Collective, where: Slice) -> float:
    """Seconds for one kind of exchange, as often as it runs."""
    group = collective.group
    if collective.kind == "collective-permute":
        return collective.times * collective.size / where.generation.link
    passes = 2 if collective.kind == "all-reduce" else 1  # reduce, then gather
    share = (group - 1) / group
    return collective.times * passes * share * collective.size / where.sending(group) if group > 1 else 0.0


# Below that, what little a chip moved for its rows would have to foretell what it moves for many times as many.
_FEWER = 4


@dataclasses.dataclass(frozen=True)
class Scaled:
    """The same batch on another slice.

    Attributes:
      where: the slice.
      time: of a step.
    """

    where: Slice
    time: Time


def data_parallel(flops: float, moved: Moved, fixed: float, where: Slice, rows: int, gradients: float) -> list[Scaled]:
    """What a step would take on other slices of the generation, by arithmetic, with nothing divided but the batch.

    From a quarter of the chips of `where` upwards.

    Args:
      flops: over all chips.
      moved: on each chip of `where`.
      fixed: bytes of HBM traffic on each chip however few its rows: of parameters and of the update.
      where: the slice that the program was compiled for.
      rows: of a batch; more chips than rows are no help, and are left out.
      gradients: bytes that are summed over the chips.
    """
    batch = max(moved.hbm - fixed, 0.0) * where.chips
    result = []
    for each in where.smaller():
        if where.chips / _FEWER <= each.chips <= rows:
            sums = [Collective("all-reduce", gradients, each.chips, 1)]
            result.append(Scaled(each, time(flops, Moved(fixed + batch / each.chips, sums), each)))
    return result


def by_kind(collectives: Sequence[Collective]) -> dict[str, dict[str, float]]:
    """How many exchanges there are of each kind, and of how many bytes."""
    result: dict[str, dict[str, float]] = {}
    for each in collectives:
        kind = result.setdefault(each.kind, {"count": 0, "bytes": 0.0})
        kind["count"] += each.times
        kind["bytes"] += each.times * each.size
    return result
