"""Traffic of a compiled program, read from its HLO text: bytes to and from HBM, and between devices.

XLA's cost analysis counts the body of a loop once, and adds the traffic between HBM and on-chip memory to the traffic
within on-chip memory. This analysis counts a loop body once per iteration, and only HBM.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2}  # of other types, the digits in the name are the bits
_ARRAY = re.compile(r"\b(pred|bf16|[suf]\d+|f8\w+|c64|c128)\[([\d,]*)\](?:\{([^}]*)\})?")
_INSTRUCTION = re.compile(r"\s*(ROOT )?%([\w.\-]+) = (.*)")
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


@dataclasses.dataclass(frozen=True)
class HloArray:
    """One array of an instruction's output.

    Attributes:
      size: bytes.
      hbm: whether the array lies in HBM.
    """

    size: float
    hbm: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An HLO instruction."""

    name: str
    opcode: str
    arrays: tuple[HloArray, ...]
    operands: tuple[str, ...]
    attributes: str
    root: bool

    @property
    def size(self) -> float:
        """Bytes of the output."""
        return sum(array.size for array in self.arrays)

    def called(self, *roles: str) -> list[str]:
        """Returns the computations that the instruction calls in these roles."""
        return [
            name.strip().lstrip("%")
            for role, names in _CALLED.findall(self.attributes)
            if role in roles
            for name in names.split(",")
        ]


Computation = dict[str, Instruction]


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
    """Traffic of one execution of a program on one chip.

    Attributes:
      hbm: bytes read from and written to HBM.
      collectives: collective operations.
    """

    hbm: float = 0.0
    collectives: list[Collective] = dataclasses.field(default_factory=list)

    def add(self, other: "Traffic", count: int = 1) -> None:
        """Adds the traffic of `count` executions of another program."""
        self.hbm += count * other.hbm
        self.collectives += [dataclasses.replace(each, count=count * each.count) for each in other.collectives]


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
        self._parse(text)

    def _parse(self, text: str) -> None:
        current: Computation = {}
        for line in text.splitlines():
            if header := _COMPUTATION.match(line):
                current = self._computations.setdefault(header[2], {})
                self._entry = header[2] if header[1] else self._entry
            elif match := _INSTRUCTION.match(line):
                shape, opcode, rest = _split_instruction(match[3])
                operands, attributes = _split_operands(rest)
                names = tuple(re.findall(r"%([\w.\-]+)", operands))
                current[match[2]] = Instruction(match[2], opcode, _arrays(shape), names, attributes, bool(match[1]))

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
            for instruction in computation.values():
                if instruction.opcode == "while" and self._trip_count(instruction) is None:
                    yield instruction

    def _trip_count(self, loop: Instruction) -> int | None:
        """Returns the trip count of a loop that counts from 0 to a constant; None for any other loop."""
        condition = self._computations[loop.called("condition")[0]]
        root = next(instruction for instruction in condition.values() if instruction.root)
        limits = [condition[name] for name in root.operands if condition[name].opcode == "constant"]
        if root.opcode == "compare" and "direction=LT" in root.attributes and limits:
            return _number(limits[0])
        return None

    def _computation_traffic(self, name: str) -> Traffic:
        traffic, computation = Traffic(), self._computations[name]
        for instruction in computation.values():
            opcode = instruction.opcode
            if opcode == "while":
                for called in instruction.called("body", "condition"):
                    traffic.add(self._computation_traffic(called), self._trip_count(instruction) or self._iterations)
            elif opcode == "conditional":
                branches = map(self._computation_traffic, instruction.called(*_BRANCHES))
                traffic.add(max(branches, key=lambda branch: branch.hbm))
            elif opcode in ("call", "async-start"):
                for called in instruction.called("calls", "to_apply"):
                    traffic.add(self._computation_traffic(called))
            else:
                traffic.collectives += self._collectives(instruction, computation)
                traffic.hbm += self._hbm_traffic(instruction, computation)
        return traffic

    def _collectives(self, instruction: Instruction, computation: Computation) -> list[Collective]:
        kind = instruction.opcode.removesuffix("-start")
        if instruction.opcode == "fusion":
            # XLA for TPU writes reduce-scatter, and collectives that overlap with arithmetic, as fusions around them.
            collectives = []
            for name in instruction.called("calls"):
                fused = self._computations[name]
                for inner in fused.values():
                    collectives += self._collectives(inner, fused)
                if name.startswith("all-reduce-scatter"):
                    collectives = [dataclasses.replace(each, kind="reduce-scatter") for each in collectives]
            return collectives
        if kind not in COLLECTIVES:
            return []
        sent = sum(computation[name].size for name in instruction.operands if name in computation)
        size = max(sent, self._result_size(instruction)) if kind == "all-gather" else sent
        return [Collective(kind, size, self._group_size(instruction), 1)]

    def _result_size(self, instruction: Instruction) -> float:
        """Returns the bytes of a collective's result; the output of a "-start" instruction lists its operands first."""
        if not instruction.opcode.endswith("-start"):
            return instruction.size
        return sum(array.size for array in instruction.arrays[len(instruction.operands) :])

    def _group_size(self, instruction: Instruction) -> int:
        match = _GROUPS.search(instruction.attributes)
        if not match:
            return self._devices
        size = int(match[3]) if match[3] else len([number for number in match[1].split(",") if number])
        return size or self._devices

    def _hbm_traffic(self, instruction: Instruction, computation: Computation) -> float:
        """Returns the bytes that an instruction reads from HBM and writes to it."""
        opcode = instruction.opcode
        if opcode in _FREE or opcode.endswith("-done") or any(name in instruction.attributes for name in _FREE_CALLS):
            return 0.0
        operands = [computation[name] for name in instruction.operands if name in computation]
        if opcode in ("copy-start", "slice-start"):  # outputs: (to, from, …), and ((from), to, …)
            to = instruction.arrays[0 if opcode == "copy-start" else len(operands)]
            return to.size * (to.hbm + any(array.hbm for operand in operands for array in operand.arrays))
        fused = [self._computations[name] for name in instruction.called("calls")] if opcode == "fusion" else []
        partial = _partial_reads(fused[0]) if fused else _partial_reads({instruction.name: instruction})
        read = sum(
            min(array.size, partial.get(index, partial.get(operand.name, array.size)))
            for index, operand in enumerate(operands)
            for array in operand.arrays
            if array.hbm
        )
        written = sum(array.size for array in instruction.arrays if array.hbm)
        return read + min(written, _fusion_written(fused[0]) if fused else _written({**computation}, instruction))


def _partial_reads(computation: Computation) -> dict[int | str, float]:
    """Returns the bytes that are read of operands that are read only in part, by parameter number or by name."""
    numbers = {each.name: _number(each) for each in computation.values() if each.opcode == "parameter"}
    read_completely: set[str] = set()
    partial: dict[str, float] = {}
    for instruction in computation.values():
        for index, name in enumerate(instruction.operands):
            if instruction.opcode in ("dynamic-slice", "gather", "slice") and index == 0:
                partial[name] = partial.get(name, 0.0) + instruction.size
            elif instruction.opcode in ("dynamic-update-slice", "scatter") and index == 0:
                partial[name] = partial.get(name, 0.0)  # in place: only what is written is read
            elif instruction.opcode != "parameter":
                read_completely.add(name)
    return {numbers.get(name, name): size for name, size in partial.items() if name not in read_completely}


def _number(instruction: Instruction) -> int:
    """Returns the number of a parameter, or the value of a constant."""
    return int(instruction.attributes.split(")")[0]) if instruction.attributes[:1].isdigit() else -1


def _fusion_written(fused: Computation) -> float:
    """Returns the bytes that a fusion writes; of an array that is updated in place, only the update."""
    root = next(instruction for instruction in fused.values() if instruction.root)
    roots = [fused[name] for name in root.operands] if root.opcode == "tuple" else [root]
    return sum(_written(fused, instruction) for instruction in roots)


def _written(computation: Computation, instruction: Instruction) -> float:
    while instruction.opcode in ("bitcast", "copy") and instruction.operands and instruction.operands[0] in computation:
        instruction = computation[instruction.operands[0]]
    update = {"dynamic-update-slice": 1, "scatter": 2}.get(instruction.opcode)
    if update is None or instruction.operands[update] not in computation:
        return instruction.size
    return computation[instruction.operands[update]].size


def _split_instruction(text: str) -> tuple[str, str, str]:
    """Returns an instruction's output shape, its opcode, and the text from its operands on."""
    end = len(_split_operands(text[1:])[0]) + 1 if text.startswith("(") else 0
    space = text.index(" ", end)
    opcode, _, rest = text[space + 1 :].partition("(")
    return text[:space], opcode, rest


def _split_operands(text: str) -> tuple[str, str]:
    """Returns the text before the bracket that closes the operands, and the text after it.

    The number of a parameter, or the value of a constant, stands among the operands; it is kept before the attributes.
    """
    depth = 1
    for index, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            operands = text[:index]
            return operands, (operands + ")" if operands.isdigit() else "") + text[index + 1 :]
    return text, ""


def _arrays(shape: str) -> tuple[HloArray, ...]:
    arrays = []
    for dtype, sizes, layout in _ARRAY.findall(shape):
        elements = math.prod(int(size) for size in sizes.split(",") if size)
        digits = re.search(r"\d+", dtype)
        size = _BYTES.get(dtype, int(digits[0]) / 8 if digits else 4)
        arrays.append(HloArray(elements * size, "S(" not in layout))
    return tuple(arrays)
