"""The training step and the search of a config, compiled for a slice of TPU chips, and what they need of a chip."""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.runs.result import shape_flops
from experiments.runs.system import ROWS, System
from launch.planner.hlo import Moved, Program
from transformer.data.batches.bucket_shapes import rows_of
from transformer.decoding.search import search
from transformer.models.interface import Memory
from transformer.ops.flops import matmul_flops
from transformer.spec import Spec
from transformer.training.parallel import MeshPlacement


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A program for a slice; bytes are those of one chip, FLOPs those of all together.

    Attributes:
      arguments: bytes of state, parameters and batch, and of results that do not take their place.
      temporary: bytes of all that is worked out.
      code: bytes of the program itself.
      flops: of matrix products, in one run.
      moved: by one run.
      open_loops: in it, whose number of rounds the program does not say.
      seconds: it took to compile.
    """

    arguments: int
    temporary: int
    code: int
    flops: int
    moved: Moved
    open_loops: int
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes that a chip must have."""
        return self.arguments + self.temporary + self.code


@dataclasses.dataclass(frozen=True)
class Search:
    """A compiled search; its loop is what runs for each token.

    Attributes:
      whole: of a search with as many steps as there can be.
      rows: sentences.
      steps: at most.
      flops: of a step, of all chips together.
      moved: by a step, on a chip.
    """

    whole: Compiled
    rows: int
    steps: int
    flops: int
    moved: Moved


class TooLargeError(Exception):
    """A program that the compiler could not fit into a chip's memory; says what it would need."""


def system(spec: Spec, devices: Sequence[Any]) -> System:
    """The system of `spec` on devices that need not exist.

    Raises:
      ValueError: settings that fit no model, or that no program can be compiled ahead of time for.
    """
    if spec.parallel.mode != "mesh":
        raise ValueError(f"parallel.mode: {spec.parallel.mode} compiles a step when it is first made; plan with mesh")
    where = spec.parallel
    return System.without_text(spec, MeshPlacement(devices, fsdp=where.fsdp, tensor=where.tensor))


def training_shape(spec: Spec, width: int) -> tuple[int, int, int]:
    """Rows, source width and target width of a batch as wide as `width`, as `data.tokens_per_batch` allows.

    Rows of several sentences are as wide as they are, whatever `width` is.

    Raises:
      ValueError: not even two rows fit.
    """
    width = spec.data.packed_width or width
    width = -(-width // spec.data.width_multiple) * spec.data.width_multiple
    return rows_of((width, width), spec.data.tokens_per_batch, ROWS), width, width


def training(system: System, shape: tuple[int, int, int]) -> Compiled:
    """Compiles the training step for a batch of `shape`, its rows filled up to what the chips can share.

    Raises:
      TooLargeError: it does not fit.
    """
    place = system.placement
    rows, *widths = place.rows(shape[0]), *shape[1:]
    batch = [jax.ShapeDtypeStruct((rows, width), jnp.int32, sharding=place.by_row) for width in widths]
    state, numbers = (place.laid(tree) for tree in (system.state_shapes(), system.numbers))
    step: Any = place.compile_step(system.learner, system.spec.train)
    flops = shape_flops(system, (rows, widths[0], widths[1]))
    return _compiled(lambda: step.lower(state, *batch, numbers).compile(), flops, place.mesh.size)[0]


def decoding(system: System, width: int) -> Search:
    """Compiles the search for `decode.batch_size` sentences of `width` tokens.

    Raises:
      TooLargeError: it does not fit.
    """
    place, decode = system.placement, system.spec.decode
    rows, steps = place.rows(decode.batch_size), width + decode.max_extra_length
    beams = decode.beam_size if decode.method == "beam" else 1
    begin, each = _search_flops(system, rows, width, beams, steps)
    source = jax.ShapeDtypeStruct((rows, width), jnp.int32, sharding=place.by_row)
    params = place.laid(system.shapes)
    run: Any = place.compile_rows(lambda params, source_BS: search(system.model(params), source_BS, decode))
    flops = begin + steps * each
    whole, program = _compiled(lambda: run.lower(params, source).compile(), flops, place.mesh.size, steps)
    return Search(whole, rows, steps, each, program.loop())


def _search_flops(system: System, rows: int, width: int, beams: int, steps: int) -> tuple[int, int]:
    """FLOPs before the first step of a search, and of each step."""
    source = jax.ShapeDtypeStruct((rows, width), jnp.int32)

    def start(params: Any, source_BS: jax.Array) -> Any:
        net = system.model(params)
        memory: Memory = net.encode(source_BS)
        return net.start(memory, beams, steps)

    state = jax.eval_shape(start, system.shapes, source)
    token, position = jax.ShapeDtypeStruct((rows, beams), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32)
    step = matmul_flops(lambda params, *given: system.model(params).step(*given), system.shapes, state, token, position)
    return matmul_flops(start, system.shapes, source), step


def _compiled(compile: Callable[[], Any], flops: int, devices: int, rounds: int = 1) -> tuple[Compiled, Program]:
    """Runs the compiler; `rounds` is how often loops run that do not say it themselves."""
    begun = time.monotonic()
    # A program for devices that are not there can be written to the cache of programs, but not read from it again.
    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    try:
        executable = compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise TooLargeError(_needed(str(error))) from error
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    seconds = time.monotonic() - begun
    sizes = executable.memory_analysis()
    program = Program(executable.as_text(), devices, rounds)
    compiled = Compiled(
        arguments=sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
        temporary=sizes.temp_size_in_bytes,
        code=sizes.generated_code_size_in_bytes,
        flops=flops,
        moved=program.moved(),
        open_loops=program.open_loops,
        seconds=seconds,
    )
    return compiled, program


def _needed(message: str) -> str:
    """What the compiler says that a program needs, in its words."""
    match = re.search(r"Used ([\d.]+\w+) of ([\d.]+\w+) hbm", message)
    return f"needs {match[1]} of the {match[2]} of HBM that a program can have" if match else " ".join(message.split())
