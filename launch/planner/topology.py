"""Cloud TPU slices: what each generation's chips can do, and how the chips of a slice are wired."""

import dataclasses
import math
import re


@dataclasses.dataclass(frozen=True)
class Generation:
    """A generation of TPU chips.

    Attributes:
      name: as in a topology's name.
      flops: bfloat16 operations a second, of a chip.
      memory: bytes of HBM, of a chip.
      bandwidth: bytes a second between a chip and its HBM.
      link: bytes a second that a chip can send over one of its links to a neighbour.
      axes: along how many axes a chip has neighbours.
      chips: in the largest slice.
      wrapped: the length of an axis, or a divisor of it, at which its ends are joined.
      config: the name of the chip's configuration that makes it one device, for libtpu.
    """

    name: str
    flops: float
    memory: int
    bandwidth: float
    link: float
    axes: int
    chips: int
    wrapped: int
    config: str


# Per chip, from "System architecture" in Google's Cloud TPU documentation (docs.cloud.google.com/tpu/docs/v4, .../v5e,
# .../v5p and .../v6e): compute, HBM and its bandwidth, the chips of a pod or of the largest job, and ICI bandwidth of
# v5e, v5p and v6e: 400, 1200 and 800 GB/s a chip in both directions, over 4, 6 and 4 links; so 50, 100 and 100 GB/s
# for a link and a direction. A link of v4 (45 GB/s), and which axes wrap around, are from "How to Think About TPUs" in
# *How to Scale Your Model* (jax-ml.github.io/scaling-book/tpus): an axis of 16 of v5e and v6e, whole cubes of 4 × 4 × 4
# of v4 and v5p. Some of these pages write GB for HBM, others GiB; libtpu's compiler gives programs 15.75 GiB of a v5e.
GENERATIONS = {
    each.name: each
    for each in (
        Generation("v4", 275e12, 32 << 30, 1200e9, 45e9, 3, 4096, 4, "megacore"),
        Generation("v5e", 197e12, 16 << 30, 819e9, 50e9, 2, 256, 16, "default"),
        Generation("v5p", 459e12, 95 << 30, 2765e9, 100e9, 3, 6144, 4, "megacore"),
        Generation("v6e", 918e12, 32 << 30, 1638e9, 100e9, 2, 256, 16, "default"),
    )
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips that are wired to one another.

    Attributes:
      generation: of the chips.
      shape: how many chips along each axis.
    """

    generation: Generation
    shape: tuple[int, ...]

    @classmethod
    def named(cls, name: str) -> "Slice":
        """The slice of a name such as v5e:4x4.

        Raises:
          ValueError: there is no such slice.
        """
        match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", name)
        if not match or match[1] not in GENERATIONS:
            raise ValueError(
                f"--topology: {name!r} is none of {', '.join(GENERATIONS)} with its chips along each axis, "
                "such as v5e:4x4 or v5p:2x2x2"
            )
        generation, shape = GENERATIONS[match[1]], tuple(map(int, match[2].split("x")))
        if len(shape) != generation.axes:
            raise ValueError(
                f"--topology: {name!r} has {len(shape)} axes, but chips of {generation.name} are wired along "
                f"{generation.axes}: {generation.name}:{'x'.join(['2', '2', '1'][: generation.axes])}"
            )
        odd = any((axis != 1 and axis % 2) or not axis for axis in shape)
        if odd or math.prod(shape) > generation.chips:
            raise ValueError(
                f"--topology: there is no slice {name}; an axis is 1 chip long or an even number of chips, and "
                f"{generation.name} has at most {generation.chips} chips in a slice"
            )
        return cls(generation, shape)

    def __str__(self) -> str:
        return f"{self.generation.name}:{'x'.join(map(str, self.shape))}"

    @property
    def chips(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def host(self) -> tuple[int, int, int]:
        """Chips along each axis that one host has, for libtpu."""
        first, second, *_ = self.shape
        return min(first, 2), min(second, 2), 1

    def sending(self, group: int) -> float:
        """Bytes a second that a chip can send to the others of a group of `group` chips, over all links it has to them.

        A chip at the end of an axis that does not wrap around has one link along it, and the slowest chip decides. A
        group that is not the whole slice is taken to lie along one axis.
        """
        links = [2 if wraps else 1 for axis, wraps in zip(self.shape, self.wraps, strict=True) if axis > 1]
        return self.generation.link * (sum(links) if group == self.chips else min(links, default=1))

    @property
    def wraps(self) -> list[bool]:
        """Of each axis, whether its ends are joined: in v4 and v5p all axes of whole cubes, else the full axis."""
        joined = [axis % self.generation.wrapped == 0 for axis in self.shape]
        return [all(joined)] * len(joined) if self.generation.axes == 3 else joined

    def smaller(self) -> list["Slice"]:
        """Slices of one chip up to the largest of this generation, each twice the one before."""
        found, shape = [], [1] * self.generation.axes
        while math.prod(shape) <= min(self.generation.chips, 256):
            found.append(Slice(self.generation, tuple(sorted(shape, reverse=self.generation.axes == 3))))
            shape[shape.index(min(shape))] *= 2
        return found
