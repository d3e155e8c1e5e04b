"""What is printed of a plan, and its JSON object: the same numbers, for people and for programs."""

from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from experiments.runs.system import System
from launch.planner import roofline
from launch.planner.aot import Compiled, Search
from launch.planner.roofline import Time
from launch.planner.topology import Slice
from transformer.training.state import count

_WIDTH = 120  # columns, where the output is not a terminal


class Account:
    """Prints what is found out, part by part, and gathers it.

    Args:
      system: what is planned.
      where: the slice.
      shape: rows, source width and target width of a training batch.
    """

    def __init__(self, system: System, where: Slice, shape: tuple[int, int, int]) -> None:
        self._system, self._where, self._shape = system, where, shape
        self._rows = system.placement.rows(shape[0])
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=_WIDTH)
        self.result: dict[str, Any] = {
            "topology": str(where),
            "chips": where.chips,
            "mesh": dict(system.placement.mesh.shape),
            "parameters": count(system.shapes),
            "dtype": system.spec.model.dtype,
            "batch": {"rows": self._rows, "source": shape[1], "target": shape[2]},
            "fits": True,
        }

    def begin(self) -> None:
        """What is compiled for what."""
        kind, data = self._where.generation, self._system.spec.data
        rows, width, _ = self._shape
        filled = f", filled up to {self._rows}" if self._rows != rows else ""
        widest = "the widest batch" if width >= data.max_length else "a narrower batch than the widest"
        mesh = " × ".join(f"{name} {size}" for name, size in self.result["mesh"].items())
        self._say(
            f"{self._where}: {self._where.chips} chips as {mesh}; a chip has {kind.flops / 1e12:.0f} bfloat16 TFLOP/s, "
            f"{_gib(kind.memory)} of HBM at {kind.bandwidth / 1e9:.0f} GB/s, and sends "
            f"{self._where.sending(self._where.chips) / 1e9:.0f} GB/s to its neighbours here"
        )
        self._say(
            f"model: {self.result['parameters']:,} parameters with data.vocab_size={data.vocab_size}, products in "
            f"{self._system.spec.model.dtype}"
        )
        self._say(
            f"batch: {rows} × {width} source and {width} target tokens{filled}; {widest} that "
            f"data.tokens_per_batch={data.tokens_per_batch} and data.max_length={data.max_length} allow"
        )
        self._say("compiling; a model of the paper's size takes minutes")

    def training(self, step: Compiled) -> None:
        """The training step, the whole training, and other slices."""
        time, train = roofline.time(step.flops, step.moved, self._where), self._system.spec.train
        batches = train.steps * train.accumulate
        hours = batches * time.total / 3600
        tokens = self._rows * self._shape[2] / time.total
        self._program("training step", "step", step, time)
        for line in roofline.ASSUMPTIONS:
            self._say(f"at best: {line}")
        if step.open_loops:
            self._say(f"{step.open_loops} loops of the step do not say how often they run: their traffic counts once")
        self._say(
            f"training: {tokens:,.0f} target tokens/s, padding included; {batches:,} batches in {hours:.2f} hours, "
            f"{hours * self._where.chips:.2f} chip-hours, at best"
        )
        self.result["training"] = self._record(step, time) | {
            "target_tokens_per_second": tokens,
            "batches": batches,
            "hours": hours,
            "chip_hours": hours * self._where.chips,
        }
        if not self._system.placement.divided:
            self._scaling(step, batches)

    def _scaling(self, step: Compiled, batches: int) -> None:
        gradients = 4.0 * self.result["parameters"]
        state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._system.state_shapes()))
        # Parameters are read on the way to the loss and on the way back, where as many gradients are written; the
        # update reads those, and reads and writes the state.
        fixed = 2 * state + 4 * gradients
        found = roofline.data_parallel(step.flops, step.moved, fixed, self._where, self._rows, gradients)
        title = "the same batch on other slices, by arithmetic; data parallel"
        table = Table("slice", "step ms", "target tokens/s", "hours", "chip-hours", "bound by", title=title)
        self.result["scaling"] = []
        for each in found:
            total, chips = each.time.total, each.where.chips
            row = {
                "topology": str(each.where),
                "step_seconds": total,
                "target_tokens_per_second": self._rows * self._shape[2] / total,
                "hours": batches * total / 3600,
                "chip_hours": batches * total / 3600 * chips,
                "bound": each.time.bound,
            }
            self.result["scaling"].append(row)
            tokens, hours, chip_hours = (row[key] for key in ("target_tokens_per_second", "hours", "chip_hours"))
            numbers = (f"{total * 1e3:.3g}", f"{tokens:,.0f}", f"{hours:.2f}", f"{chip_hours:.2f}")
            table.add_row(str(each.where), *numbers, each.time.bound)
        self._console.print(table)

    def decoding(self, found: Search) -> None:
        """The search, with as many steps as there can be."""
        whole = roofline.time(found.whole.flops, found.whole.moved, self._where)
        step = roofline.time(found.flops, found.moved, self._where)
        sentences = found.rows / whole.total
        self._program("search", f"whole search, {found.steps} steps", found.whole, whole)
        self._say(
            f"search: {found.rows} sentences of {self._shape[1]} tokens, {self._system.spec.decode.method}; a step "
            f"{step.total * 1e3:.3g} ms, bound by {step.bound}; {sentences:,.0f} sentences/s at best, all as long "
            "as they can be"
        )
        self.result["decoding"] = self._record(found.whole, whole) | {
            "sentences": found.rows,
            "steps": found.steps,
            "flops_per_step": found.flops,
            "hbm_bytes_per_step": found.moved.hbm,
            "step_seconds": step.total,
            "search_seconds": whole.total,
            "sentences_per_second": sentences,
        }

    def too_large(self, what: str) -> None:
        """A program that a chip has no room for."""
        self.result |= {"fits": False, "why": what}
        self._say(
            f"does not fit: the program {what}; more chips, a smaller data.tokens_per_batch, train.loss_chunk, or "
            "parallel.fsdp make it smaller"
        )

    def _program(self, name: str, what: str, program: Compiled, time: Time) -> None:
        have = self._where.generation.memory
        table = Table("", "a chip", "", min_width=76, title=f"{name}, compiled in {program.seconds:.0f} s")
        for label, size, note in (
            ("arguments and results", program.arguments, ""),
            ("temporaries", program.temporary, ""),
            ("program", program.code, ""),
            ("memory", program.memory, f"{program.memory / have:.0%} of {_gib(have)}"),
        ):
            table.add_row(label, _gib(size), note)
        table.add_section()
        table.add_row("FLOPs of products", _si(program.flops / self._where.chips), f"{_si(program.flops)} on all chips")
        table.add_row("read from and written to HBM", _si(program.moved.hbm) + "B", "")
        for kind, sums in roofline.by_kind(program.moved.collectives).items():
            table.add_row(kind, _si(sums["bytes"]) + "B", f"{sums['count']:.0f} exchanges")
        table.add_section()
        for label, seconds in (("products", time.arithmetic), ("HBM", time.memory), ("exchanges", time.exchange)):
            table.add_row(f"time of {label}", f"{seconds * 1e3:.3g} ms", "")
        peak = program.flops / self._where.chips / time.total / self._where.generation.flops
        table.add_row(what, f"{time.total * 1e3:.3g} ms", f"{peak:.0%} of the peak; bound by {time.bound}")
        self._console.print(table)

    def _record(self, program: Compiled, time: Time) -> dict[str, Any]:
        return {
            "memory_bytes": {
                "arguments": program.arguments,
                "temporaries": program.temporary,
                "program": program.code,
                "total": program.memory,
                "available": self._where.generation.memory,
            },
            "flops": program.flops,
            "hbm_bytes": program.moved.hbm,
            "collectives": roofline.by_kind(program.moved.collectives),
            "seconds": {
                "arithmetic": time.arithmetic,
                "memory": time.memory,
                "exchange": time.exchange,
                "total": time.total,
            },
            "bound": time.bound,
            "open_loops": program.open_loops,
            "compile_seconds": round(program.seconds, 1),
        }

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 1 << 30 else f"{size / 2**20:.1f} MiB"


def _si(value: float) -> str:
    """With a decimal prefix, three digits or so."""
    for unit, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.0f} "
