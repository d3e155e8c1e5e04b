"""The plan's printed report and its JSON object, which hold the same numbers."""

from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from experiments.runs.system import System
from launch.planner import roofline
from launch.planner.aot import CompiledProgram, CompiledSearch
from launch.planner.roofline import LeastTime
from launch.planner.topology import Topology
from transformer.byte_size import format_bytes
from transformer.training.state import parameter_count

_WIDTH = 120  # columns, where the output is not a terminal


class PlanReport:
    """Prints each part of a plan and collects its numbers.

    Args:
      system: the system that is planned.
      topology: the slice.
      shape: rows, source width and target width of a training batch.
    """

    def __init__(self, system: System, topology: Topology, shape: tuple[int, int, int]) -> None:
        self._system, self._topology, self._shape = system, topology, shape
        self._rows = system.partitioner.padded_rows(shape[0])
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=_WIDTH)
        self.result: dict[str, Any] = {
            "topology": str(topology),
            "chips": topology.chips,
            "mesh": dict(system.partitioner.mesh.shape),
            "parameters": parameter_count(system.param_shapes),
            "dtype": system.spec.model.dtype,
            "batch": {"rows": self._rows, "source": shape[1], "target": shape[2]},
            "fits": True,
        }

    def print_header(self) -> None:
        """Prints the slice, the model and the batch."""
        topology, data = self._topology, self._system.spec.data
        generation = topology.generation
        rows, width, _ = self._shape
        padded = f", padded to {self._rows} rows" if self._rows != rows else ""
        widest = "the widest batch" if width >= data.max_length else "a narrower batch than the widest"
        mesh = " × ".join(f"{name} {size}" for name, size in self.result["mesh"].items())
        self._print(
            f"{topology}: {topology.chips} chips as {mesh}; a chip has {generation.flops / 1e12:.0f} bfloat16 TFLOP/s, "
            f"{format_bytes(generation.memory)} of HBM at {generation.bandwidth / 1e9:.0f} GB/s, and sends "
            f"{topology.send_bandwidth(topology.chips) / 1e9:.0f} GB/s to its neighbours in this slice"
        )
        self._print(
            f"model: {self.result['parameters']:,} parameters with data.vocab_size={data.vocab_size}, matmuls in "
            f"{self._system.spec.model.dtype}"
        )
        self._print(
            f"batch: {rows} × {width} source and {width} target tokens{padded}; {widest} that "
            f"data.tokens_per_batch={data.tokens_per_batch} and data.max_length={data.max_length} allow"
        )
        self._print("compiling; a model of the paper's size takes minutes")

    def add_training(self, step: CompiledProgram) -> None:
        """Reports the training step, the complete training, and other slices."""
        time = roofline.least_time(step.flops, step.traffic, self._topology)
        train = self._system.spec.train
        batches = train.steps * train.accumulate
        hours = batches * time.total / 3600
        tokens = self._rows * self._shape[2] / time.total
        self._print_program("training step", "step", step, time)
        for assumption in roofline.ASSUMPTIONS:
            self._print(f"least time: {assumption}")
        if step.open_loops:
            self._print(f"{step.open_loops} loops of the step have an unknown trip count: their traffic counts once")
        self._print(
            f"training: {tokens:,.0f} target tokens/s, padding included; {batches:,} batches in {hours:.2f} hours, "
            f"{hours * self._topology.chips:.2f} chip-hours, at best"
        )
        self.result["training"] = self._record(step, time) | {
            "target_tokens_per_second": tokens,
            "batches": batches,
            "hours": hours,
            "chip_hours": hours * self._topology.chips,
        }
        if not self._system.partitioner.sharded:
            self._add_scaling(step, batches)

    def _add_scaling(self, step: CompiledProgram, batches: int) -> None:
        gradients = 4.0 * self.result["parameters"]
        state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._system.state_shapes()))
        # The forward and the backward pass read the parameters, and the backward pass writes as many gradients. The
        # update reads the gradients, and reads and writes the state.
        fixed = 2 * state + 4 * gradients
        scaled_times = roofline.data_parallel(step.flops, step.traffic, fixed, self._topology, self._rows, gradients)
        title = "the same batch on other slices, estimated; data parallel"
        table = Table("slice", "step ms", "target tokens/s", "hours", "chip-hours", "bound by", title=title)
        self.result["scaling"] = []
        for scaled in scaled_times:
            total, chips = scaled.time.total, scaled.topology.chips
            row = {
                "topology": str(scaled.topology),
                "step_seconds": total,
                "target_tokens_per_second": self._rows * self._shape[2] / total,
                "hours": batches * total / 3600,
                "chip_hours": batches * total / 3600 * chips,
                "bound": scaled.time.bound,
            }
            self.result["scaling"].append(row)
            tokens, hours, chip_hours = (row[key] for key in ("target_tokens_per_second", "hours", "chip_hours"))
            numbers = (f"{total * 1e3:.3g}", f"{tokens:,.0f}", f"{hours:.2f}", f"{chip_hours:.2f}")
            table.add_row(str(scaled.topology), *numbers, scaled.time.bound)
        self._console.print(table)

    def add_search(self, search: CompiledSearch) -> None:
        """Reports a search with the largest number of steps."""
        total_time = roofline.least_time(search.program.flops, search.program.traffic, self._topology)
        step_time = roofline.least_time(search.flops, search.traffic, self._topology)
        sentences = search.rows / total_time.total
        self._print_program("search", f"complete search, {search.steps} steps", search.program, total_time)
        self._print(
            f"search: {search.rows} sentences of {self._shape[1]} tokens, {self._system.spec.decode.method}; a step "
            f"{step_time.total * 1e3:.3g} ms, bound by {step_time.bound}; {sentences:,.0f} sentences/s at best, if "
            "all outputs have the maximum length"
        )
        self.result["decoding"] = self._record(search.program, total_time) | {
            "sentences": search.rows,
            "steps": search.steps,
            "flops_per_step": search.flops,
            "hbm_bytes_per_step": search.traffic.hbm,
            "step_seconds": step_time.total,
            "search_seconds": total_time.total,
            "sentences_per_second": sentences,
        }

    def add_out_of_memory(self, why: str) -> None:
        """Reports a program that does not fit into a chip's memory."""
        self.result |= {"fits": False, "why": why}
        self._print(
            f"does not fit: the program {why}; more chips, a smaller data.tokens_per_batch, train.loss_chunk, or "
            "parallel.fsdp make it smaller"
        )

    def _print_program(self, name: str, label: str, program: CompiledProgram, time: LeastTime) -> None:
        generation, chips = self._topology.generation, self._topology.chips
        share = f"{program.memory / generation.memory:.0%} of {format_bytes(generation.memory)}"
        table = Table("", "a chip", "", min_width=76, title=f"{name}, compiled in {program.seconds:.0f} s")
        for part, size, note in (
            ("arguments and results", program.arguments, ""),
            ("temporaries", program.temporary, ""),
            ("program", program.code, ""),
            ("memory", program.memory, share),
        ):
            table.add_row(part, format_bytes(size), note)
        table.add_section()
        table.add_row("matmul FLOPs", _si(program.flops / chips), f"{_si(program.flops)} on all chips")
        table.add_row("HBM traffic", _si(program.traffic.hbm) + "B", "")
        for kind, sums in roofline.by_kind(program.traffic.collectives).items():
            table.add_row(kind, _si(sums["bytes"]) + "B", f"{sums['count']:.0f} collectives")
        table.add_section()
        for part, seconds in (("matmuls", time.arithmetic), ("HBM", time.memory), ("collectives", time.exchange)):
            table.add_row(f"time of {part}", f"{seconds * 1e3:.3g} ms", "")
        peak = program.flops / chips / time.total / generation.flops
        table.add_row(label, f"{time.total * 1e3:.3g} ms", f"{peak:.0%} of the peak; bound by {time.bound}")
        self._console.print(table)

    def _record(self, program: CompiledProgram, time: LeastTime) -> dict[str, Any]:
        return {
            "memory_bytes": {
                "arguments": program.arguments,
                "temporaries": program.temporary,
                "program": program.code,
                "total": program.memory,
                "available": self._topology.generation.memory,
            },
            "flops": program.flops,
            "hbm_bytes": program.traffic.hbm,
            "collectives": roofline.by_kind(program.traffic.collectives),
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

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _si(value: float) -> str:
    """Returns a number with a decimal prefix and three significant digits."""
    for unit, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.0f} "
