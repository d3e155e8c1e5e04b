"""Attention within the sentences of packed rows as GPU kernels that write no scores to memory (Pallas, for Triton).

The algorithm is FlashAttention-2 (Dao 2023): each program of the grid computes one block of queries, or of keys, and
loops over the blocks of the other side.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from transformer.ops.masks import Mask, SegmentMask, kernel_supports
from transformer.spec import PACKED_HEAD_SIZES

BLOCK = 64  # queries or keys of a block
_DTYPES = (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
_HIDDEN = -1e30  # finite: a difference of two such scores is not NaN
_NO_QUERY, _NO_KEY = -1, -2  # segments of the padding up to a multiple of BLOCK


def supports(query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, causal: bool) -> bool:
    """Returns whether the kernel supports these arrays and this mask; looks only at dtypes and shapes.

    It supports packed rows, `SegmentMask`, of any length, with padding or causal masks (`masks.kernel_supports`). Keys
    and values must have equal widths and 16-bit dtypes.
    """
    if not isinstance(mask, SegmentMask):
        return False
    matching = key_BSHK.shape == value_BSHU.shape and query_BTHK.dtype == key_BSHK.dtype == value_BSHU.dtype
    fits = query_BTHK.shape[-1] in PACKED_HEAD_SIZES and query_BTHK.dtype in _DTYPES
    return matching and fits and kernel_supports(mask.mask, query_BTHK.shape[1], key_BSHK.shape[1], causal)


def attention(
    query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, scale: float, interpret: bool = False
) -> jax.Array:
    """Computes softmax(Q Kᵀ · scale) V (Eq. 1) within each segment, where `supports` holds.

    A query without a visible key has the context 0; the reference returns the mean of the values. Neither has a weight
    in the loss.

    Args:
      query_BTHK, key_BSHK, value_BSHU: bfloat16 or float16.
      mask: a `SegmentMask`. Padding must be a separate segment. A mask [1, 1, T, T] stands for `masks.causal`.
      scale: 1 / √d_k in the paper.
      interpret: whether to interpret the kernel, which works on any device and in any dtype; for tests.

    Returns:
      context_BTHU.
    """
    if not isinstance(mask, SegmentMask):
        raise ValueError("the mask of packed rows is a SegmentMask")
    arrays = (_pad(array, 0) for array in (query_BTHK, key_BSHK, value_BSHU))
    segments = _pad(mask.segment_BT, _NO_QUERY), _pad(mask.segment_BS, _NO_KEY)
    causal = mask.mask.shape[2] != 1
    context_BTHU: Any = _attention(*arrays, *segments, scale, causal, interpret)
    return context_BTHU[:, : query_BTHK.shape[1]]


def _pad(array_BT: jax.Array, value: int) -> jax.Array:
    """Pads the second axis to a multiple of `BLOCK`."""
    widths = [(0, -array_BT.shape[1] % BLOCK if axis == 1 else 0) for axis in range(array_BT.ndim)]
    return jnp.pad(array_BT, widths, constant_values=value)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _attention(*arguments: Any) -> jax.Array:
    return _forward(*arguments)[0]


def _forward(
    query_BTHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHU: jax.Array,
    segment_BT: jax.Array,
    segment_BS: jax.Array,
    scale: float,
    causal: bool,
    interpret: bool,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    rows, target, heads, _ = query_BTHK.shape
    outputs = [query_BTHK, jax.ShapeDtypeStruct((rows, heads, target), jnp.float32)]
    kernel = functools.partial(_context_kernel, scale=scale, causal=causal)
    queries, keys = [query_BTHK, segment_BT], [key_BSHK, value_BSHU, segment_BS]
    context_BTHU, total_BHT = _call(kernel, queries, keys, outputs, interpret)
    return context_BTHU, (query_BTHK, key_BSHK, value_BSHU, segment_BT, segment_BS, context_BTHU, total_BHT)


def _backward(
    scale: float, causal: bool, interpret: bool, saved: tuple[jax.Array, ...], gradient_BTHU: jax.Array
) -> tuple[jax.Array | None, ...]:
    query_BTHK, key_BSHK, value_BSHU, segment_BT, segment_BS, context_BTHU, total_BHT = saved
    mean_BTH = jnp.sum(gradient_BTHU.astype(jnp.float32) * context_BTHU.astype(jnp.float32), axis=-1)
    queries = [query_BTHK, segment_BT, gradient_BTHU, total_BHT, mean_BTH.swapaxes(1, 2)]
    keys = [key_BSHK, value_BSHU, segment_BS]
    query_kernel, key_kernel = (
        functools.partial(kernel, scale=scale, causal=causal) for kernel in (_query_kernel, _key_kernel)
    )
    (query,) = _call(query_kernel, queries, keys, [query_BTHK], interpret)
    key, value = _call(key_kernel, keys, queries, [key_BSHK, value_BSHU], interpret)
    return query, key, value, None, None


_attention.defvjp(_forward, _backward)


def _call(kernel: Any, blocked: list[Any], whole: list[Any], outputs: list[Any], interpret: bool) -> Any:
    """Runs a kernel for each block of the arrays of one side, row and head; it sees the other side completely.

    Args:
      kernel: called with references to the parts of `blocked`, `whole` and `outputs`.
      blocked: arrays of queries or of keys.
      whole: arrays of the other side.
      outputs: arrays or shapes of the results, which have the blocks of `blocked`.
      interpret: as for `attention`.
    """
    from jax.experimental import pallas  # slow to import, and rarely needed
    from jax.experimental.pallas import triton

    def spec(array: Any, in_blocks: bool) -> Any:
        """Returns the part of an array [B, T, H, K], [B, H, T] or [B, T] that a kernel sees."""
        length = array.shape[2 if array.ndim == 3 else 1]
        size = BLOCK if in_blocks else length
        parts = {2: (None, size), 3: (None, None, size), 4: (None, size, None, array.shape[-1])}

        def index(block: Any, row: Any, head: Any) -> tuple[Any, ...]:
            block = block if in_blocks else 0
            return {2: (row, block), 3: (row, head, block), 4: (row, block, head, 0)}[array.ndim]

        return pallas.BlockSpec(parts[array.ndim], index)

    rows, length, heads, _ = blocked[0].shape
    return pallas.pallas_call(
        kernel,
        grid=(length // BLOCK, rows, heads),
        in_specs=[*(spec(array, True) for array in blocked), *(spec(array, False) for array in whole)],
        out_specs=[spec(array, True) for array in outputs],
        out_shape=[jax.ShapeDtypeStruct(array.shape, array.dtype) for array in outputs],
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=2),
        interpret=interpret,
    )(*blocked, *whole)


def _dot(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.dot(x, y, preferred_element_type=jnp.float32)


def _scores(
    query_TK: jax.Array,
    key_SK: jax.Array,
    segments: tuple[jax.Array, jax.Array],
    blocks: tuple[Any, Any],
    scale: float,
    causal: bool,
) -> jax.Array:
    """Returns scores_TS of a block of queries and one of keys; `blocks` are their numbers."""
    visible_TS = segments[0][:, None] == segments[1][None, :]
    if causal:
        position_T, position_S = (number * BLOCK + jnp.arange(BLOCK) for number in blocks)
        visible_TS &= position_T[:, None] >= position_S[None, :]
    return jnp.where(visible_TS, _dot(query_TK, key_SK.T) * scale, _HIDDEN)


def _context_kernel(
    query: Any,
    segment_T: Any,
    key: Any,
    value: Any,
    segment_S: Any,
    context: Any,
    total: Any,
    *,
    scale: float,
    causal: bool,
) -> None:
    """Computes a block of the context, and log Σ exp(score) of each query; arguments are references."""
    from jax.experimental import pallas

    block, query_TK, own_T = pallas.program_id(0), query[...], segment_T[...]

    def add(number: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        context_TU, largest_T, sum_T = carry
        part = pallas.ds(number * BLOCK, BLOCK)
        scores_TS = _scores(query_TK, key[part, :], (own_T, segment_S[part]), (block, number), scale, causal)
        new_T = jnp.maximum(largest_T, jnp.max(scores_TS, axis=1))
        weights_TS, kept_T = jnp.exp(scores_TS - new_T[:, None]), jnp.exp(largest_T - new_T)
        context_TU = kept_T[:, None] * context_TU + _dot(weights_TS.astype(value.dtype), value[part, :])
        return context_TU, new_T, kept_T * sum_T + jnp.sum(weights_TS, axis=1)

    # The first maximum is far above a hidden score, whose weight is thus 0, and far below any other.
    start = jnp.zeros(query_TK.shape, jnp.float32), jnp.full(BLOCK, _HIDDEN / 1e10), jnp.zeros(BLOCK)
    last = block + 1 if causal else key.shape[0] // BLOCK
    context_TU, largest_T, sum_T = jax.lax.fori_loop(0, last, add, start)
    some_T = sum_T > 0
    context[...] = (context_TU / jnp.where(some_T, sum_T, 1.0)[:, None]).astype(context.dtype)
    total[...] = jnp.where(some_T, largest_T + jnp.log(jnp.where(some_T, sum_T, 1.0)), -_HIDDEN)


def _gradients(
    scores_TS: jax.Array, total_T: jax.Array, mean_T: jax.Array, gradient_TU: jax.Array, value_SU: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the weights_TS, and the gradient of the scores; `mean_T` is the weights' mean of their gradient."""
    weights_TS = jnp.exp(scores_TS - total_T[:, None])
    return weights_TS, weights_TS * (_dot(gradient_TU, value_SU.T) - mean_T[:, None])


def _query_kernel(
    query: Any,
    segment_T: Any,
    gradient: Any,
    total: Any,
    mean: Any,
    key: Any,
    value: Any,
    segment_S: Any,
    result: Any,
    *,
    scale: float,
    causal: bool,
) -> None:
    """Computes the gradient of a block of queries."""
    from jax.experimental import pallas

    block, query_TK, own_T = pallas.program_id(0), query[...], segment_T[...]
    gradient_TU, total_T, mean_T = gradient[...], total[...], mean[...]

    def add(number: Any, sum_TK: jax.Array) -> jax.Array:
        part = pallas.ds(number * BLOCK, BLOCK)
        key_SK = key[part, :]
        scores_TS = _scores(query_TK, key_SK, (own_T, segment_S[part]), (block, number), scale, causal)
        _, change_TS = _gradients(scores_TS, total_T, mean_T, gradient_TU, value[part, :])
        return sum_TK + _dot(change_TS.astype(key.dtype), key_SK)

    last = block + 1 if causal else key.shape[0] // BLOCK
    sum_TK = jax.lax.fori_loop(0, last, add, jnp.zeros(query_TK.shape, jnp.float32))
    result[...] = (sum_TK * scale).astype(result.dtype)


def _key_kernel(
    key: Any,
    value: Any,
    segment_S: Any,
    query: Any,
    segment_T: Any,
    gradient: Any,
    total: Any,
    mean: Any,
    key_result: Any,
    value_result: Any,
    *,
    scale: float,
    causal: bool,
) -> None:
    """Computes the gradients of a block of keys and values."""
    from jax.experimental import pallas

    block, key_SK, value_SU, own_S = pallas.program_id(0), key[...], value[...], segment_S[...]

    def add(number: Any, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        part = pallas.ds(number * BLOCK, BLOCK)
        query_TK, gradient_TU = query[part, :], gradient[part, :]
        scores_TS = _scores(query_TK, key_SK, (segment_T[part], own_S), (number, block), scale, causal)
        weights_TS, change_TS = _gradients(scores_TS, total[part], mean[part], gradient_TU, value_SU)
        sum_SK, sum_SU = sums
        sum_SK += _dot(change_TS.T.astype(query.dtype), query_TK)
        return sum_SK, sum_SU + _dot(weights_TS.T.astype(gradient.dtype), gradient_TU)

    start = jnp.zeros(key_SK.shape, jnp.float32), jnp.zeros(value_SU.shape, jnp.float32)
    first = block if causal else 0
    sum_SK, sum_SU = jax.lax.fori_loop(first, query.shape[0] // BLOCK, add, start)
    key_result[...] = (sum_SK * scale).astype(key_result.dtype)
    value_result[...] = sum_SU.astype(value_result.dtype)
