"""Topologies of Cloud TPU slices: peak rates of each generation's chips, and the links between the chips of a slice."""

import dataclasses
import math
import re

from transformer.section import did_you_mean


@dataclasses.dataclass(frozen=True)
class Generation:
    """A generation of TPU chips.

    Attributes:
      name: as in a topology's name.
      flops: peak bfloat16 FLOP/s of a chip.
      memory: bytes of HBM of a chip.
      bandwidth: bytes per second between a chip and its HBM.
      link_bandwidth: bytes per second that a chip can send over one of its links to a neighbour.
      axes: number of axes along which a chip has neighbours.
      max_chips: number of chips in the largest slice.
      wrap_length: an axis whose length is a multiple of this one wraps around.
      libtpu_config: name of libtpu's chip configuration that makes a chip as few devices as possible.
      cores: number of devices of a chip. Where there are two, each has half of the chip's FLOP/s, HBM and bandwidth.
    """

    name: str
    flops: float
    memory: int
    bandwidth: float
    link_bandwidth: float
    axes: int
    max_chips: int
    wrap_length: int
    libtpu_config: str
    cores: int = 1


# Per chip, from "System architecture" in Google's Cloud TPU documentation (docs.cloud.google.com/tpu/docs/v2, .../v3,
# .../v4, .../v5e, .../v5p, .../v6e and .../tpu7x): compute, HBM and its bandwidth, the chips of a pod or of the largest
# job, and ICI bandwidth of v5e, v5p, v6e and tpu7x: 400, 1200, 800 and 1200 GB/s a chip in both directions, over 4, 6,
# 4 and 6 links; so 50, 100, 100 and 100 GB/s for a link and a direction. A link of v2 (496 Gbit/s) and v3 (656 Gbit/s)
# is from Jouppi et al. 2020, "A Domain-Specific Supercomputer for Training Deep Neural Networks". A link of v4 (45
# GB/s), and which axes wrap around, are from "How to Think About TPUs" in *How to Scale Your Model*
# (jax-ml.github.io/scaling-book/tpus): an axis of 16 of v5e and v6e, complete cubes of 4 × 4 × 4 of v4 and v5p. v2, v3
# and tpu7x are assumed to be alike: an axis of a pod's length, complete cubes. Some of these pages write GB for HBM,
# others GiB; libtpu's compiler gives programs 15.75 GiB of a v5e.
GENERATIONS = {
    generation.name: generation
    for generation in (
        Generation("v2", 45e12, 16 << 30, 700e9, 62e9, 2, 256, 16, "default", cores=2),
        Generation("v3", 123e12, 32 << 30, 900e9, 82e9, 2, 1024, 32, "default", cores=2),
        Generation("v4", 275e12, 32 << 30, 1200e9, 45e9, 3, 4096, 4, "megacore"),
        Generation("v5e", 197e12, 16 << 30, 819e9, 50e9, 2, 256, 16, "default"),
        Generation("v5p", 459e12, 95 << 30, 2765e9, 100e9, 3, 6144, 4, "megacore"),
        Generation("v6e", 918e12, 32 << 30, 1638e9, 100e9, 2, 256, 16, "default"),
        Generation("tpu7x", 2307e12, 192 << 30, 7380e9, 100e9, 3, 9216, 4, "default", cores=2),
    )
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """The topology of a slice: the generation of its chips, and their number along each axis."""

    generation: Generation
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, name: str) -> "Topology":
        """Parses a name such as "v5e:4x4".

        Raises:
          ValueError: there is no such slice.
        """
        match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", name)
        if not match or match[1] not in GENERATIONS:
            expected = f"{', '.join(GENERATIONS)} with its chips along each axis, such as v5e:4x4 or v5p:2x2x2"
            kind, _, shape = name.partition(":")
            guess = did_you_mean(kind, GENERATIONS)
            raise ValueError(f"--topology: {name!r} is none of {expected}{guess.replace('?', f':{shape}?')}")
        generation, shape = GENERATIONS[match[1]], tuple(map(int, match[2].split("x")))
        if len(shape) != generation.axes:
            example = f"{generation.name}:{'x'.join(['2', '2', '1'][: generation.axes])}"
            linked = f"chips of {generation.name} are linked along {generation.axes}: {example}"
            raise ValueError(f"--topology: {name!r} has {len(shape)} axes, but {linked}")
        invalid_axis = any((length != 1 and length % 2) or not length for length in shape)
        if invalid_axis or math.prod(shape) > generation.max_chips:
            rule = "an axis is 1 chip long or an even number of chips"
            most = f"{generation.name} has at most {generation.max_chips} chips in a slice"
            raise ValueError(f"--topology: there is no slice {name}; {rule}, and {most}")
        return cls(generation, shape)

    def __str__(self) -> str:
        return f"{self.generation.name}:{'x'.join(map(str, self.shape))}"

    @property
    def chips(self) -> int:
        """Number of chips."""
        return math.prod(self.shape)

    @property
    def devices(self) -> int:
        """Number of devices: chips, or their cores where a chip is two devices."""
        return self.chips * self.generation.cores

    @property
    def device_memory(self) -> int:
        """Bytes of HBM of a device."""
        return self.generation.memory // self.generation.cores

    @property
    def chips_per_host(self) -> tuple[int, int, int]:
        """Number of chips of one host along each axis, for libtpu."""
        first, second, *_ = self.shape
        return min(first, 2), min(second, 2), 1

    def send_bandwidth(self, group: int) -> float:
        """Returns the bytes per second that a chip can send, over all its links, to the others of a group of devices.

        A chip at the end of an axis that does not wrap around has one link along it, and the slowest chip decides. A
        group that is smaller than the slice is assumed to lie along one axis. The cores of a chip share its links: a
        ring enters and leaves each chip once. Within a chip it is assumed to be as fast as one link.
        """
        # In v4, v5p and tpu7x, all axes of complete cubes wrap around; in the others, an axis of full length does.
        wraps = [length % self.generation.wrap_length == 0 for length in self.shape]
        wraps = [all(wraps)] * len(wraps) if self.generation.axes == 3 else wraps
        links = [2 if wrap else 1 for length, wrap in zip(self.shape, wraps, strict=True) if length > 1]
        return self.generation.link_bandwidth * (sum(links) or 1 if group == self.devices else min(links, default=1))

    def doublings(self) -> list["Topology"]:
        """Returns topologies of this generation from 1 to at most 256 chips, each with twice the chips of the last."""
        topologies, shape = [], [1] * self.generation.axes
        while math.prod(shape) <= min(self.generation.max_chips, 256):
            topologies.append(Topology(self.generation, tuple(sorted(shape, reverse=self.generation.axes == 3))))
            shape[shape.index(min(shape))] *= 2
        return topologies
