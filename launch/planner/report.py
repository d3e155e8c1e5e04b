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
    """Prints each part of a plan for a system on a slice, and collects its numbers.

    `shape` is the shape of a training batch: rows, source width and target width.
    """

    def __init__(self, system: System, topology: Topology, shape: tuple[int, int, int]) -> None:
        self._system, self._topology, self._shape = system, topology, shape
        self._rows = system.partitioner.padded_rows(shape[0])
        self._passes = roofline.PASSES[system.partitioner.matmul_precision]
        self._console = Console(highlight=False, width=None if Console().is_terminal else _WIDTH)
        self.result: dict[str, Any] = {
            "topology": str(topology),
            "chips": topology.chips,
            "mesh": dict(system.partitioner.mesh.shape),
            "parameters": parameter_count(system.param_shapes),
            "dtype": system.spec.model.dtype,
            "matmul_precision": system.partitioner.matmul_precision,
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
        cores = f", each {generation.cores} devices," if generation.cores > 1 else ""
        mesh = " × ".join(f"{name} {size}" for name, size in self.result["mesh"].items())
        self._print(
            f"{topology}: {topology.chips} chips{cores} as {mesh}; a chip has {generation.flops / 1e12:.0f} bfloat16 "
            f"TFLOP/s, {format_bytes(generation.memory)} of HBM at {generation.bandwidth / 1e9:.0f} GB/s, and sends "
            f"{topology.send_bandwidth(topology.devices) / 1e9:.0f} GB/s to its neighbours in this slice"
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
        time = self._add_program("training", "training step", "step", step)
        for assumption in roofline.ASSUMPTIONS:
            self._print(f"least time: {assumption}")
        if step.open_loops:
            self._print(f"{step.open_loops} loops of the step have an unknown trip count: their traffic counts once")
        cost = self._training_cost(time, self._topology)
        self._print(
            f"training: {cost['target_tokens_per_second']:,.0f} target tokens/s, padding included; "
            f"{cost['batches']:,} batches in {cost['hours']:.2f} hours, {cost['chip_hours']:.2f} chip-hours, at best"
        )
        self.result["training"] |= cost
        if not self._system.partitioner.sharded:
            self._add_scaling(step)

    def _training_cost(self, time: LeastTime, topology: Topology) -> dict[str, Any]:
        train = self._system.spec.train
        batches = train.steps * train.accumulate
        hours = batches * time.total / 3600
        return {
            "target_tokens_per_second": self._rows * self._shape[2] / time.total,
            "batches": batches,
            "hours": hours,
            "chip_hours": hours * topology.chips,
        }

    def _add_scaling(self, step: CompiledProgram) -> None:
        gradients = 4.0 * self.result["parameters"]
        state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._system.state_shapes()))
        # The forward and the backward pass read the parameters, and the backward pass writes as many gradients. The
        # update reads the gradients, and reads and writes the state.
        fixed = 2 * state + 4 * gradients
        times = roofline.data_parallel(
            step.flops * self._passes, step.traffic, fixed, self._topology, self._rows, gradients
        )
        title = "the same batch on other slices, estimated; data parallel"
        table = Table("slice", "step ms", "target tokens/s", "hours", "chip-hours", "bound by", title=title)
        self.result["scaling"] = []
        for topology, time in times.items():
            cost = self._training_cost(time, topology)
            del cost["batches"]
            row = {"topology": str(topology), "step_seconds": time.total, **cost, "bound": time.bound}
            self.result["scaling"].append(row)
            speed = (f"{time.total * 1e3:.3g}", f"{cost['target_tokens_per_second']:,.0f}")
            table.add_row(str(topology), *speed, f"{cost['hours']:.2f}", f"{cost['chip_hours']:.2f}", time.bound)
        self._console.print(table)

    def add_search(self, search: CompiledSearch) -> None:
        """Reports a search with the largest number of steps."""
        time = self._add_program("decoding", "search", f"complete search, {search.steps} steps", search.program)
        step_traffic = search.program.iteration_traffic
        step_time = roofline.least_time(search.flops * self._passes, step_traffic, self._topology)
        sentences = search.rows / time.total
        self._print(
            f"search: {search.rows} sentences of {self._shape[1]} tokens, {self._system.spec.decode.method}; a step "
            f"{step_time.total * 1e3:.3g} ms, bound by {step_time.bound}; {sentences:,.0f} sentences/s at best, if "
            "all outputs have the maximum length"
        )
        self.result["decoding"] |= {
            "sentences": search.rows,
            "steps": search.steps,
            "flops_per_step": search.flops,
            "hbm_bytes_per_step": step_traffic.hbm,
            "step_seconds": step_time.total,
            "search_seconds": time.total,
            "sentences_per_second": sentences,
        }

    def add_out_of_memory(self, why: str) -> None:
        """Reports a program that does not fit into a chip's memory."""
        self.result |= {"fits": False, "why": why}
        self._print(
            f"does not fit: the program {why}; more chips, a smaller data.tokens_per_batch, train.loss_chunk, or "
            "parallel.fsdp make it smaller"
        )

    def _add_program(self, key: str, name: str, label: str, program: CompiledProgram) -> LeastTime:
        """Prints a program's cost, stores it in the result under `key`, and returns its least time."""
        generation, devices, available = self._topology.generation, self._topology.devices, self._topology.device_memory
        time = roofline.least_time(program.flops * self._passes, program.traffic, self._topology)
        collectives = roofline.by_kind(program.traffic.collectives)
        memory = {"arguments": program.arguments, "temporaries": program.temporary, "program": program.code}
        self.result[key] = {
            "memory_bytes": {**memory, "total": program.memory, "available": available},
            "flops": program.flops,
            "hbm_bytes": program.traffic.hbm,
            "collectives": collectives,
            "seconds": {**time._asdict(), "total": time.total},
            "bound": time.bound,
            "open_loops": program.open_loops,
            "compile_seconds": round(program.seconds, 1),
        }
        table = Table(
            "",
            "a chip" if generation.cores == 1 else "a core",
            "",
            min_width=76,
            title=f"{name}, compiled in {program.seconds:.0f} s",
        )
        for part, size in zip(("arguments and results", "temporaries", "program"), memory.values(), strict=True):
            table.add_row(part, format_bytes(size))
        share = f"{program.memory / available:.0%} of {format_bytes(available)}"
        table.add_row("memory", format_bytes(program.memory), share)
        table.add_section()
        table.add_row("matmul FLOPs", _si(program.flops / devices), f"{_si(program.flops)} on all chips")
        table.add_row("HBM traffic", _si(program.traffic.hbm) + "B")
        for kind, sums in collectives.items():
            table.add_row(kind, _si(sums["bytes"]) + "B", f"{sums['count']:.0f} collectives")
        table.add_section()
        for part, seconds in zip(("matmuls", "HBM", "collectives"), time, strict=True):
            table.add_row(f"time of {part}", f"{seconds * 1e3:.3g} ms")
        peak = program.flops / self._topology.chips / time.total / generation.flops
        table.add_row(label, f"{time.total * 1e3:.3g} ms", f"{peak:.0%} of the peak; bound by {time.bound}")
        self._console.print(table)
        return time

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _si(value: float) -> str:
    """Returns a number with a decimal prefix and three significant digits."""
    for unit, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.0f} "
