"""What a compiled program moves: bytes to and from memory, and between devices, read from its text.

XLA's own cost analysis counts the body of a loop once, and what is moved between HBM and the chip's own memory beside
what is moved within the latter. Here a body counts as often as it runs, and HBM alone.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

_SIZES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2}  # of others, the digits of the name are their bits
_ARRAY = re.compile(r"\b(pred|bf16|[suf]\d+|f8\w+|c64|c128)\[([\d,]*)\](?:\{([^}]*)\})?")
_LINE = re.compile(r"\s*(ROOT )?%([\w.\-]+) = (.*)")
_HEAD = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*\) -> .* \{$")
_BRANCHES = ("branch_computations", "true_computation", "false_computation")
_CALLED = re.compile(rf"(calls|to_apply|body|condition|{'|'.join(_BRANCHES)})=\{{?(%[^,}}\s]+(?:, ?%[^,}}\s]+)*)")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[(\d+),(\d+)\])")

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "ragged-all-to-all")
# What moves nothing, or what the instruction that began it has counted.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id",
    "opt-barrier", "add-dependency", "domain", "iota",
}  # fmt: skip
_FREE_CALLS = ("ConcatBitcast", "AssumeGatherIndicesInBound", "AllocateBuffer")


@dataclasses.dataclass(frozen=True)
class Array:
    """A part of what an instruction gives: its bytes, and whether it lies in HBM."""

    size: float
    hbm: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a program."""

    name: str
    kind: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    root: bool

    @property
    def size(self) -> float:
        """Bytes of all that it gives."""
        return sum(array.size for array in self.arrays)

    def called(self, *roles: str) -> list[str]:
        """Programs that it names in these roles."""
        return [
            name.strip().lstrip("%")
            for role, names in _CALLED.findall(self.attributes)
            if role in roles
            for name in names.split(",")
        ]


@dataclasses.dataclass(frozen=True)
class Collective:
    """An exchange between chips.

    Attributes:
      kind: all-reduce and so on.
      size: bytes of the whole that is exchanged, as one chip holds or gets it.
      group: how many chips exchange it with one another.
      times: how often it runs.
    """

    kind: str
    size: float
    group: int
    times: int


@dataclasses.dataclass
class Moved:
    """What one run of a program moves on one chip.

    Attributes:
      hbm: bytes read from and written to HBM.
      collectives: exchanges between chips.
    """

    hbm: float = 0.0
    collectives: list[Collective] = dataclasses.field(default_factory=list)

    def add(self, other: "Moved", times: int = 1) -> None:
        """Counts another program's traffic, as often as it runs."""
        self.hbm += times * other.hbm
        self.collectives += [dataclasses.replace(each, times=times * each.times) for each in other.collectives]


class Program:
    """A compiled program's text, read.

    Args:
      text: of the optimised HLO module.
      devices: how many run it.
      rounds: how often a loop is taken to run whose number of rounds is not known.
    """

    def __init__(self, text: str, devices: int, rounds: int = 1) -> None:
        self._devices = devices
        self._rounds = rounds
        self._computations: dict[str, dict[str, Instruction]] = {}
        self._entry = ""
        self._read(text)

    def _read(self, text: str) -> None:
        current: dict[str, Instruction] = {}
        for line in text.splitlines():
            if head := _HEAD.match(line):
                current = self._computations.setdefault(head[2], {})
                self._entry = head[2] if head[1] else self._entry
            elif match := _LINE.match(line):
                shape, kind, rest = _parted(match[3])
                operands, attributes = _balanced(rest)
                names = tuple(re.findall(r"%([\w.\-]+)", operands))
                current[match[2]] = Instruction(match[2], kind, _arrays(shape), names, attributes, bool(match[1]))

    def moved(self) -> Moved:
        """What one run moves."""
        return self._moved(self._entry)

    def loop(self) -> Moved:
        """What one round moves of the loops whose number of rounds is not known."""
        result = Moved()
        for instruction in self._open_loops():
            for name in instruction.called("body", "condition"):
                result.add(self._moved(name))
        return result

    @property
    def open_loops(self) -> int:
        """How many loops there are whose number of rounds is not known."""
        return sum(1 for _ in self._open_loops())

    def _open_loops(self) -> Iterator[Instruction]:
        for computation in self._computations.values():
            for instruction in computation.values():
                if instruction.kind == "while" and self._counted(instruction) is None:
                    yield instruction

    def _counted(self, loop: Instruction) -> int | None:
        """How often a loop runs whose condition is that a counter, from 0 on, is less than a number."""
        condition = self._computations[loop.called("condition")[0]]
        root = next(each for each in condition.values() if each.root)
        limits = [condition[name] for name in root.operands if condition[name].kind == "constant"]
        if root.kind == "compare" and "direction=LT" in root.attributes and limits:
            return _number(limits[0])
        return None

    def _moved(self, name: str) -> Moved:
        result, computation = Moved(), self._computations[name]
        for instruction in computation.values():
            kind = instruction.kind
            if kind == "while":
                for each in instruction.called("body", "condition"):
                    result.add(self._moved(each), self._counted(instruction) or self._rounds)
            elif kind == "conditional":
                result.add(max(map(self._moved, instruction.called(*_BRANCHES)), key=lambda each: each.hbm))
            elif kind in ("call", "async-start"):
                for each in instruction.called("calls", "to_apply"):
                    result.add(self._moved(each))
            else:
                result.collectives += self._collectives(instruction, computation)
                result.hbm += self._traffic(instruction, computation)
        return result

    def _collectives(self, instruction: Instruction, computation: dict[str, Instruction]) -> list[Collective]:
        kind = instruction.kind.removesuffix("-start")
        if instruction.kind == "fusion":
            # XLA for TPU writes reduce-scatter, and exchanges that run beside arithmetic, as fusions around them.
            found = []
            for name in instruction.called("calls"):
                inner = self._computations[name]
                for each in inner.values():
                    found += self._collectives(each, inner)
                if name.startswith("all-reduce-scatter"):
                    found = [dataclasses.replace(each, kind="reduce-scatter") for each in found]
            return found
        if kind not in COLLECTIVES:
            return []
        given = sum(computation[name].size for name in instruction.operands if name in computation)
        size = max(given, self._result(instruction)) if kind == "all-gather" else given
        return [Collective(kind, size, self._group(instruction), 1)]

    def _result(self, instruction: Instruction) -> float:
        """Bytes of what an exchange gives: one that is begun gives its operands, too, in front."""
        if not instruction.kind.endswith("-start"):
            return instruction.size
        return sum(array.size for array in instruction.arrays[len(instruction.operands) :])

    def _group(self, instruction: Instruction) -> int:
        match = _GROUPS.search(instruction.attributes)
        if not match:
            return self._devices
        size = int(match[3]) if match[3] else len([number for number in match[1].split(",") if number])
        return size or self._devices

    def _traffic(self, instruction: Instruction, computation: dict[str, Instruction]) -> float:
        """Bytes that an instruction reads from HBM and writes to it."""
        kind = instruction.kind
        if kind in _FREE or kind.endswith("-done") or any(name in instruction.attributes for name in _FREE_CALLS):
            return 0.0
        given = [computation[name] for name in instruction.operands if name in computation]
        if kind in ("copy-start", "slice-start"):  # (to, from, …), and ((from), to, …)
            to = instruction.arrays[0 if kind == "copy-start" else len(given)]
            return to.size * (to.hbm + any(array.hbm for each in given for array in each.arrays))
        inner = [self._computations[name] for name in instruction.called("calls")] if kind == "fusion" else []
        parts = _parts_of_operands(inner[0]) if inner else _parts_of_operands({instruction.name: instruction})
        read = sum(
            min(array.size, parts.get(place, parts.get(each.name, array.size)))
            for place, each in enumerate(given)
            for array in each.arrays
            if array.hbm
        )
        written = sum(array.size for array in instruction.arrays if array.hbm)
        return read + min(written, _written(inner[0]) if inner else _updated({**computation}, instruction))


def _parts_of_operands(inner: dict[str, Instruction]) -> dict[int | str, float]:
    """Of operands that only parts are read of, by number (in a fusion) or by name: how many bytes these are."""
    numbers = {each.name: _number(each) for each in inner.values() if each.kind == "parameter"}
    whole: set[str] = set()
    parts: dict[str, float] = {}
    for each in inner.values():
        for place, name in enumerate(each.operands):
            if each.kind in ("dynamic-slice", "gather", "slice") and place == 0:
                parts[name] = parts.get(name, 0.0) + each.size
            elif each.kind in ("dynamic-update-slice", "scatter") and place == 0:
                parts[name] = parts.get(name, 0.0)  # in place: what is not written is not read
            elif each.kind != "parameter":
                whole.add(name)
    return {numbers.get(name, name): size for name, size in parts.items() if name not in whole}


def _number(each: Instruction) -> int:
    """Of a parameter or a constant."""
    return int(each.attributes.split(")")[0]) if each.attributes[:1].isdigit() else -1


def _written(inner: dict[str, Instruction]) -> float:
    """Bytes that a fusion writes: of an array that is updated in place, what is new."""
    root = next(each for each in inner.values() if each.root)
    roots = [inner[name] for name in root.operands] if root.kind == "tuple" else [root]
    return sum(_updated(inner, each) for each in roots)


def _updated(inner: dict[str, Instruction], each: Instruction) -> float:
    while each.kind in ("bitcast", "copy") and each.operands and each.operands[0] in inner:
        each = inner[each.operands[0]]
    place = {"dynamic-update-slice": 1, "scatter": 2}.get(each.kind)
    if place is None or each.operands[place] not in inner:
        return each.size
    return inner[each.operands[place]].size


def _parted(text: str) -> tuple[str, str, str]:
    """What an instruction gives, its kind, and all from its operands on."""
    end = len(_balanced(text[1:])[0]) + 1 if text.startswith("(") else 0
    space = text.index(" ", end)
    kind, _, rest = text[space + 1 :].partition("(")
    return text[:space], kind, rest


def _balanced(text: str) -> tuple[str, str]:
    """What stands before the bracket that closes the operands, and what stands after it.

    A parameter's or a constant's number stands where operands do; it is kept in front of the attributes.
    """
    depth = 1
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:
            inside = text[:place]
            return inside, (inside + ")" if inside.isdigit() else "") + text[place + 1 :]
    return text, ""


def _arrays(shape: str) -> tuple[Array, ...]:
    found = []
    for kind, sizes, layout in _ARRAY.findall(shape):
        count = math.prod(int(size) for size in sizes.split(",") if size)
        digits = re.search(r"\d+", kind)
        size = _SIZES.get(kind, int(digits[0]) / 8 if digits else 4)
        found.append(Array(count * size, "S(" not in layout))
    return tuple(found)
