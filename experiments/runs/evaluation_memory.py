"""Memory of evaluation and search, checked before training or translation starts."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.runs.long_lines import max_input_tokens
from experiments.runs.system import System
from experiments.runtime import preflight
from transformer.data.batches.bucket_shapes import BatchShape
from transformer.data.token_dataset import Batch
from transformer.decoding import search
from transformer.padding import padded_width
from transformer.spec import DecodeSpec
from transformer.training import aot

# A search is compiled for the check only if its state fits into memory, but not this many times: compilation takes
# longer than everything else at the start. The temporaries of a step take about as much memory as the state.
_STATES = 4


def check_loss(system: System, batches: Sequence[Batch], trained: Sequence[BatchShape], place: str, state: int) -> None:
    """Checks that the loss of the largest validation batch fits into memory.

    Args:
      system: the system that is trained.
      batches: validation batches.
      trained: shapes of training batches; a loss on such shapes needs less memory than training.
      place: names the longest pair, for the message.
      state: bytes per device of the training state.

    Raises:
      MemoryError: a device has too little memory; the message contains `place`.
    """
    widest = max(max(shape.source, shape.target) for shape in trained)
    long = [batch for batch in batches if max(batch.source.shape[1], batch.target.shape[1]) > widest]
    if not long:
        return
    largest = max(long, key=lambda batch: batch.source.shape[1] * batch.target.shape[1])
    rows = system.partitioner.padded_rows(len(largest.source))
    shapes = (_batch_shape(system, rows, side.shape[1]) for side in (largest.source, largest.target))
    arguments, temporaries = _memory_bytes(system, system.functions.loss_sums, *shapes)
    preflight.check_fits(
        f"{place}: the loss of the pair", state + arguments + temporaries, "split the pair, or remove it"
    )


def check_search(system: System, decode: DecodeSpec, state: int = 0) -> None:
    """Checks that a search of the longest sentences fits into memory.

    Args:
      system: the system that translates.
      decode: settings of the search.
      state: bytes per device of the training state, or of other arrays.

    Raises:
      MemoryError: a device has too little memory; the message gives a batch size that fits.
    """
    total = preflight.available_memory()
    parts, rows = system.partitioner.batch_parts, system.partitioner.padded_rows(decode.batch_size)
    width = padded_width(max_input_tokens(system.spec) + 1)
    if total is None:
        return
    search_state = _state_bytes(system, decode, rows // parts, width)
    if state + _STATES * search_state < total:
        return
    if state + search_state > total:
        arguments, temporaries = 0, 2 * search_state
    else:
        short = system.partitioner.on_cpu
        shape = _batch_shape(system, rows * system.functions.batches_per_program(short), width)
        arguments, temporaries = _memory_bytes(system, system.functions.search(decode, short), shape)
    fitting = int(decode.batch_size * (total * preflight.USABLE - state - arguments) / max(temporaries, 1))
    remedy = f"a batch size of {fitting} would fit" if fitting > 0 else "lower decode.beam_size (--beam_size)"
    preflight.check_fits(
        f"decode.batch_size (--batch_size): a search of {decode.batch_size} sentences with {width} tokens and "
        f"decode.beam_size={decode.beam_size}",
        state + arguments + temporaries,
        remedy,
    )


def _state_bytes(system: System, decode: DecodeSpec, rows: int, width: int) -> int:
    """Returns the size of the state of a search, without compiling it."""
    shapes = jax.eval_shape(
        lambda params, source_BS: search.build_loop(system.model(params), source_BS, decode).initial_state(),
        system.param_shapes,
        jax.ShapeDtypeStruct((rows, width), jnp.int32),
    )
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def _memory_bytes(system: System, function: Any, *arrays: jax.ShapeDtypeStruct) -> tuple[int, int]:
    """Returns the bytes per device of a compiled function of (params, arrays): arguments and results, temporaries."""
    return aot.memory_bytes(function.lower(system.partitioner.abstract(system.param_shapes), *arrays).compile())


def _batch_shape(system: System, rows: int, width: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((rows, width), jnp.int32, sharding=system.partitioner.batch_sharding)
