"""Traffic of a compiled program, read from its HLO text: bytes to and from HBM, and between devices.

XLA's cost analysis counts the body of a loop once, and adds the traffic between HBM and on-chip memory to the traffic
within on-chip memory. This analysis counts a loop body once per iteration, and only HBM.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2}  # of other types, the digits in the name are the bits
_ARRAY = re.compile(r"\b(pred|bf16|[suf]\d+|f8\w+|c64|c128)\[([\d,]*)\](?:\{([^}]*)\})?")
_INSTRUCTION = re.compile(r"\s*(ROOT )?%([\w.\-]+) = (.*?) ([\w\-]+)\((.*)")  # root, name, shape, opcode, the rest
_COMPUTATION = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*\) -> .* \{$")
_BRANCHES = ("branch_computations", "true_computation", "false_computation")
_CALLED = re.compile(rf"(calls|to_apply|body|condition|{'|'.join(_BRANCHES)})=\{{?(%[^,}}\s]+(?:, ?%[^,}}\s]+)*)")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[(\d+),(\d+)\])")

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "ragged-all-to-all")
# Instructions that move nothing, or whose traffic is counted at the instruction that starts it.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id",
    "opt-barrier", "add-dependency", "domain", "iota",
}  # fmt: skip
_FREE_CALLS = ("ConcatBitcast", "AssumeGatherIndicesInBound", "AllocateBuffer")


class HloArray(NamedTuple):
    """One array of an instruction's output: its bytes, and whether it lies in HBM."""

    size: float
    hbm: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Instruction:
    """An HLO instruction; `number` is the number of a parameter or the value of a constant, and -1 for others."""

    opcode: str
    arrays: tuple[HloArray, ...]
    operands: tuple["Instruction", ...]
    number: int
    attributes: str
    root: bool

    @property
    def size(self) -> float:
        """Bytes of the output."""
        return sum(array.size for array in self.arrays)

    def called(self, *roles: str) -> list[str]:
        """Returns the computations that the instruction calls in these roles."""
        matches = [names for role, names in _CALLED.findall(self.attributes) if role in roles]
        return [name.strip().lstrip("%") for names in matches for name in names.split(",")]


Computation = list[Instruction]


@dataclasses.dataclass(frozen=True)
class Collective:
    """A collective operation.

    Attributes:
      kind: all-reduce and so on.
      size: bytes of the complete array, as one chip holds or receives it.
      group: number of chips that take part.
      count: how often it runs.
    """

    kind: str
    size: float
    group: int
    count: int


@dataclasses.dataclass
class Traffic:
    """Traffic of one execution of a program on one chip: bytes from and to HBM, and collective operations."""

    hbm: float = 0.0
    collectives: list[Collective] = dataclasses.field(default_factory=list)

    def add(self, other: "Traffic", count: int = 1) -> None:
        """Adds the traffic of `count` executions of another program."""
        self.hbm += count * other.hbm
        for collective in other.collectives:
            self.collectives.append(dataclasses.replace(collective, count=count * collective.count))


class HloProgram:
    """A parsed HLO module.

    Args:
      text: text of the optimised HLO module.
      devices: number of devices that run it.
      iterations: assumed iterations of a loop whose trip count is unknown.
    """

    def __init__(self, text: str, devices: int, iterations: int = 1) -> None:
        self._devices = devices
        self._iterations = iterations
        self._computations: dict[str, Computation] = {}
        self._entry = ""
        current: Computation = []
        defined: dict[str, Instruction] = {}  # instructions of the current computation; operands precede their users
        for line in text.splitlines():
            if header := _COMPUTATION.match(line):
                current, defined = self._computations.setdefault(header[2], []), {}
                self._entry = header[2] if header[1] else self._entry
            elif match := _INSTRUCTION.match(line):
                root, name, shape, opcode, rest = match.groups()
                arguments, attributes = _split_operands(rest)
                names = re.findall(r"%([\w.\-]+)", arguments)
                operands = tuple(defined[operand] for operand in names if operand in defined)
                number = int(arguments) if arguments.isdigit() else -1
                defined[name] = Instruction(opcode, _arrays(shape), operands, number, attributes, bool(root))
                current.append(defined[name])

    def traffic(self) -> Traffic:
        """Returns the traffic of one execution."""
        return self._computation_traffic(self._entry)

    def iteration_traffic(self) -> Traffic:
        """Returns the traffic of one iteration of the loops whose trip count is unknown."""
        traffic = Traffic()
        for loop in self._open_loops():
            for name in loop.called("body", "condition"):
                traffic.add(self._computation_traffic(name))
        return traffic

    @property
    def open_loops(self) -> int:
        """Number of loops whose trip count is unknown."""
        return sum(1 for _ in self._open_loops())

    def _open_loops(self) -> Iterator[Instruction]:
        for computation in self._computations.values():
            loops = (instruction for instruction in computation if instruction.opcode == "while")
            yield from (loop for loop in loops if self._trip_count(loop) is None)

    def _trip_count(self, loop: Instruction) -> int | None:
        """Returns the trip count of a loop that counts from 0 to a constant; None for any other loop."""
        root = _root(self._computations[loop.called("condition")[0]])
        limits = [operand.number for operand in root.operands if operand.opcode == "constant"]
        return limits[0] if limits and root.opcode == "compare" and "direction=LT" in root.attributes else None

    def _computation_traffic(self, name: str) -> Traffic:
        traffic = Traffic()
        for instruction in self._computations[name]:
            opcode = instruction.opcode
            if opcode == "while":
                for called in instruction.called("body", "condition"):
                    traffic.add(self._computation_traffic(called), self._trip_count(instruction) or self._iterations)
            elif opcode == "conditional":
                branches = map(self._computation_traffic, instruction.called(*_BRANCHES))
                traffic.add(max(branches, key=lambda branch: branch.hbm))
            elif opcode in ("call", "call-start", "async-start"):  # call-start: a sparse core of a tpu7x runs it
                for called in instruction.called("calls", "to_apply"):
                    traffic.add(self._computation_traffic(called))
            else:
                traffic.collectives += self._collectives(instruction)
                traffic.hbm += self._hbm_traffic(instruction)
        return traffic

    def _collectives(self, instruction: Instruction) -> list[Collective]:
        if instruction.opcode == "fusion":
            # XLA for TPU writes reduce-scatter, and collectives that overlap with arithmetic, as fusions around them.
            collectives: list[Collective] = []
            for name in instruction.called("calls"):
                for inner in self._computations[name]:
                    collectives += self._collectives(inner)
                if name.startswith("all-reduce-scatter"):
                    collectives = [dataclasses.replace(collective, kind="reduce-scatter") for collective in collectives]
            return collectives
        kind = instruction.opcode.removesuffix("-start")
        if kind not in COLLECTIVES:
            return []
        sent = sum(operand.size for operand in instruction.operands)
        size = max(sent, _result_size(instruction)) if kind == "all-gather" else sent
        return [Collective(kind, size, self._group_size(instruction), 1)]

    def _group_size(self, instruction: Instruction) -> int:
        match = _GROUPS.search(instruction.attributes)
        if not match:
            return self._devices
        size = int(match[3]) if match[3] else len([number for number in match[1].split(",") if number])
        return size or self._devices

    def _hbm_traffic(self, instruction: Instruction) -> float:
        """Returns the bytes that an instruction reads from HBM and writes to it."""
        opcode, operands = instruction.opcode, instruction.operands
        if opcode in _FREE or opcode.endswith("-done") or any(name in instruction.attributes for name in _FREE_CALLS):
            return 0.0
        if opcode in ("copy-start", "slice-start"):  # outputs: (to, from, …), and ((from), to, …)
            to = instruction.arrays[0 if opcode == "copy-start" else len(operands)]
            return to.size * (to.hbm + any(array.hbm for operand in operands for array in operand.arrays))
        body, inputs, roots = [instruction], operands, (instruction,)
        if opcode == "fusion":
            body = self._computations[instruction.called("calls")[0]]
            inputs = sorted((part for part in body if part.opcode == "parameter"), key=lambda part: part.number)
            root = _root(body)
            roots = root.operands if root.opcode == "tuple" else (root,)
        partial = _partial_reads(body)
        read = sum(
            min(array.size, partial.get(read_as, array.size))
            for operand, read_as in zip(operands, inputs, strict=True)
            for array in operand.arrays
            if array.hbm
        )
        written = sum(array.size for array in instruction.arrays if array.hbm)
        return read + min(written, sum(map(_written, roots)))


def _root(computation: Computation) -> Instruction:
    return next(instruction for instruction in computation if instruction.root)


def _result_size(collective: Instruction) -> float:
    """Returns the bytes of a collective's result; the output of a "-start" instruction lists its operands first."""
    first = len(collective.operands) if collective.opcode.endswith("-start") else 0
    return sum(array.size for array in collective.arrays[first:])


def _partial_reads(instructions: Sequence[Instruction]) -> dict[Instruction, float]:
    """Returns the bytes that instructions read of the operands that they read only in part."""
    read_completely: set[Instruction] = set()
    partial: dict[Instruction, float] = {}
    for instruction in instructions:
        for index, operand in enumerate(instruction.operands):
            if instruction.opcode in ("dynamic-slice", "gather", "slice") and index == 0:
                partial[operand] = partial.get(operand, 0.0) + instruction.size
            elif instruction.opcode in ("dynamic-update-slice", "scatter") and index == 0:
                partial.setdefault(operand, 0.0)  # in place: only what is written is read
            else:
                read_completely.add(operand)
    return {operand: size for operand, size in partial.items() if operand not in read_completely}


def _written(instruction: Instruction) -> float:
    """Returns the bytes that an instruction writes; of an array that is updated in place, only the update."""
    while instruction.opcode in ("bitcast", "copy") and instruction.operands:
        instruction = instruction.operands[0]
    update = {"dynamic-update-slice": 1, "scatter": 2}.get(instruction.opcode)
    return instruction.size if update is None else instruction.operands[update].size


def _split_operands(text: str) -> tuple[str, str]:
    """Returns the text before the bracket that closes the operands, and the attributes after it."""
    depth = 1
    for index, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return text[:index], text[index + 1 :]
    return text, ""


def _arrays(shape: str) -> tuple[HloArray, ...]:
    arrays = []
    for dtype, sizes, layout in _ARRAY.findall(shape):
        elements = math.prod(int(size) for size in sizes.split(",") if size)
        digits = re.search(r"\d+", dtype)
        size = _BYTES.get(dtype, int(digits[0]) / 8 if digits else 4)
        arrays.append(HloArray(elements * size, "S(" not in layout))
    return tuple(arrays)
