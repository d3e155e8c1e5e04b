"""Ahead-of-time compilation of a config's training step and search for a TPU slice, and their cost."""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.runs.model_flops import batch_flops
from experiments.runs.system import ROW_MULTIPLE, System
from launch.planner.hlo import HloProgram, Traffic
from transformer.data.batches.bucket_shapes import rows_within
from transformer.decoding.search import search
from transformer.ops.flops import matmul_flops
from transformer.spec import Spec
from transformer.training.parallel import MeshPartitioner


@dataclasses.dataclass(frozen=True)
class CompiledProgram:
    """Cost of a compiled program; bytes and traffic are of one device, FLOPs of all of them.

    Attributes:
      arguments: bytes of state, parameters and batch, and of results that do not reuse their memory.
      temporary: bytes of intermediate values.
      code: bytes of the program's code.
      flops: matmul FLOPs of one execution.
      traffic: traffic of one execution.
      iteration_traffic: traffic of one iteration of the loops whose trip count is unknown.
      open_loops: number of loops whose trip count is unknown.
      seconds: compile time.
    """

    arguments: int
    temporary: int
    code: int
    flops: int
    traffic: Traffic
    iteration_traffic: Traffic
    open_loops: int
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes that a device needs."""
        return self.arguments + self.temporary + self.code


@dataclasses.dataclass(frozen=True)
class CompiledSearch:
    """Cost of a compiled search, whose loop runs one step per output token.

    Attributes:
      program: cost of a search with the largest number of steps; its `iteration_traffic` is that of a step.
      rows: number of sentences.
      steps: largest number of steps.
      flops: FLOPs of a step, on all chips.
    """

    program: CompiledProgram
    rows: int
    steps: int
    flops: int


class OutOfMemoryError(Exception):
    """A program does not fit into a chip's memory; the message says how much it needs."""


def abstract_system(spec: Spec, devices: Sequence[Any]) -> System:
    """Returns the system of `spec` on devices that need not exist.

    Raises:
      ValueError: inconsistent settings, or settings that cannot be compiled ahead of time.
    """
    parallel = spec.parallel
    if parallel.mode != "mesh":
        raise ValueError(f"parallel.mode: {parallel.mode} compiles a step at its first call; plan with mesh")
    precision = spec.model.float32_precision
    partitioner = MeshPartitioner(devices, fsdp=parallel.fsdp, tensor=parallel.tensor, matmul_precision=precision)
    return System.without_corpus(spec, partitioner)


def training_batch_shape(spec: Spec, width: int) -> tuple[int, int, int]:
    """Returns the rows, source width and target width of the batch that `data.tokens_per_batch` allows at `width`.

    Packed rows have `data.packed_width`, whatever `width` is.

    Raises:
      ValueError: fewer than two rows fit.
    """
    width = spec.data.packed_width or width
    width = -(-width // spec.data.width_multiple) * spec.data.width_multiple
    return rows_within((width, width), spec.data.tokens_per_batch, ROW_MULTIPLE), width, width


def compile_training_step(system: System, shape: tuple[int, int, int]) -> CompiledProgram:
    """Compiles the training step for a batch of `shape`, its rows padded to a number that the devices can share.

    Raises:
      OutOfMemoryError: the step does not fit.
    """
    partitioner, sharding = system.partitioner, system.partitioner.batch_sharding
    rows, widths = partitioner.padded_rows(shape[0]), shape[1:]
    batch = [jax.ShapeDtypeStruct((rows, width), jnp.int32, sharding=sharding) for width in widths]
    state, hyperparams = (partitioner.abstract(tree) for tree in (system.state_shapes(), system.hyperparams))
    step: Any = partitioner.compile_step(system.training_model, system.spec.train)
    flops = batch_flops(system, (rows, *widths))
    return _compile(lambda: step.lower(state, *batch, hyperparams).compile(), flops, partitioner.mesh.size)


def compile_search(system: System, width: int) -> CompiledSearch:
    """Compiles the search for `decode.batch_size` sentences of `width` tokens.

    Raises:
      OutOfMemoryError: the search does not fit.
    """
    partitioner, decode = system.partitioner, system.spec.decode
    rows, steps = partitioner.padded_rows(decode.batch_size), width + decode.max_extra_length
    beams = decode.beam_size if decode.method == "beam" else 1
    start_flops, step_flops = _search_flops(system, rows, width, beams, steps)
    source = jax.ShapeDtypeStruct((rows, width), jnp.int32, sharding=partitioner.batch_sharding)
    params = partitioner.abstract(system.param_shapes)
    run: Any = partitioner.compile_eval(lambda params, source_BS: search(system.model(params), source_BS, decode))
    flops = start_flops + steps * step_flops
    program = _compile(lambda: run.lower(params, source).compile(), flops, partitioner.mesh.size, steps)
    return CompiledSearch(program, rows, steps, step_flops)


def _search_flops(system: System, rows: int, width: int, beams: int, steps: int) -> tuple[int, int]:
    """Returns the FLOPs before the first step of a search, and the FLOPs of each step."""
    source = jax.ShapeDtypeStruct((rows, width), jnp.int32)

    def start(params: Any, source_BS: jax.Array) -> Any:
        model = system.model(params)
        return model.start(model.encode(source_BS), beams, steps)

    def step(params: Any, *args: Any) -> Any:
        return system.model(params).step(*args)

    params, state = system.param_shapes, jax.eval_shape(start, system.param_shapes, source)
    token, position = jax.ShapeDtypeStruct((rows, beams), jnp.int32), jax.ShapeDtypeStruct((rows,), jnp.int32)
    return matmul_flops(start, params, source), matmul_flops(step, params, state, token, position)


def _compile(compile: Callable[[], Any], flops: int, devices: int, iterations: int = 1) -> CompiledProgram:
    """Runs the compiler; `iterations` is the assumed trip count of loops whose trip count is unknown."""
    start = time.monotonic()
    # A program for abstract devices can be written to the compilation cache, but not read back from it.
    min_seconds = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    try:
        executable = compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfMemoryError(_required_memory(str(error))) from error
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", min_seconds)
    seconds = time.monotonic() - start
    sizes = executable.memory_analysis()
    hlo = HloProgram(executable.as_text(), devices, iterations)
    return CompiledProgram(
        arguments=sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
        temporary=sizes.temp_size_in_bytes,
        code=sizes.generated_code_size_in_bytes,
        flops=flops,
        traffic=hlo.traffic(),
        iteration_traffic=hlo.iteration_traffic(),
        open_loops=hlo.open_loops,
        seconds=seconds,
    )


def _required_memory(message: str) -> str:
    """Returns how much memory a program needs, from the compiler's error message."""
    match = re.search(r"Used ([\d.]+\w+) of ([\d.]+\w+) hbm", message)
    return f"needs {match[1]} of the {match[2]} of HBM that a program can use" if match else " ".join(message.split())
