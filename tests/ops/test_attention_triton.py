"""The GPU kernel for packed rows, interpreted: values, gradients, and that no sentence of a row affects another."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import attention_triton, masks
from transformer.ops.attention import attend, dot_scores

SCALE, TARGET, SOURCE = 0.3, 101, 71  # several blocks, the last of them padded
LENGTHS = {"target": ([40, 29, 25, 7], [101]), "source": ([11, 31, 19, 10], [71])}
CASES = ["self", "cross"]


def segments(side: str) -> jax.Array:
    """Returns the segments of two rows: four sentences, of which the last is padding, and one sentence."""
    return jnp.array([np.repeat(np.arange(1, len(row) + 1), row) for row in LENGTHS[side]], jnp.int32)


def case(name: str) -> tuple[list[jax.Array], masks.Mask]:
    """Returns queries, keys, values and a direction for the context, and the mask; three heads of size 16."""
    sides = {"self": ("target", "target"), "cross": ("target", "source")}[name]
    segment_BT, segment_BS = map(segments, sides)
    sizes = [(2, array.shape[1], 3, 16) for array in (segment_BT, segment_BS, segment_BS, segment_BT)]
    arrays = [
        jax.random.normal(key, size) for key, size in zip(jax.random.split(jax.random.key(0), 4), sizes, strict=True)
    ]
    mask = masks.causal(TARGET) if name == "self" else masks.padding(jnp.ones((2, SOURCE), bool))
    return arrays, masks.with_segments(mask, segment_BT, segment_BS)


@functools.cache
def compiled(name: str, interpreted: bool) -> Any:
    """Returns the function of (query, key, value, direction) that computes the context and three gradients."""
    mask = case(name)[1]

    def attend_by(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        if interpreted:
            return attention_triton.attention(query, key, value, mask, SCALE, interpret=True)
        return attend(dot_scores(query, key, SCALE), value, masks.materialise(mask))[0]

    def run(query: jax.Array, key: jax.Array, value: jax.Array, direction: jax.Array) -> Any:
        context, pull_back = jax.vjp(attend_by, query, key, value)
        return context, pull_back(direction)

    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_eq_1_within_each_sentence(name: str) -> None:
    arrays, _ = case(name)
    for actual, expected in zip(
        *(jax.tree.leaves(compiled(name, interpreted)(*arrays)) for interpreted in (True, False)), strict=True
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_no_sentence_changes_the_output_or_gradient_of_another(name: str) -> None:
    arrays, mask = case(name)
    assert isinstance(mask, masks.SegmentMask)
    sides = [mask.segment_BT, mask.segment_BS, mask.segment_BS, mask.segment_BT]
    changed = [
        jnp.where((segment == 2)[:, :, None, None], 1e3 * array + 7, array)
        for array, segment in zip(arrays, sides, strict=True)
    ]
    (context, gradients), (other, others) = (compiled(name, True)(*each) for each in (arrays, changed))
    pairs = zip([context, *gradients], [other, *others], [sides[0], *sides[:3]], strict=True)
    for before, after, segment in pairs:
        elsewhere = np.asarray(segment != 2)
        np.testing.assert_array_equal(np.asarray(before)[elsewhere], np.asarray(after)[elsewhere])
        assert not np.array_equal(np.asarray(before)[~elsewhere], np.asarray(after)[~elsewhere])


def test_a_query_without_a_visible_key_is_finite() -> None:
    (query, key, value, direction), _ = case("cross")
    mask = masks.SegmentMask(jnp.ones((2, 1, 1, SOURCE), bool), segments("target"), jnp.full((2, SOURCE), 9, jnp.int32))
    attend_by = functools.partial(attention_triton.attention, mask=mask, scale=SCALE, interpret=True)
    context, pull_back = jax.vjp(jax.jit(attend_by), query, key, value)
    assert (context == 0).all()
    assert all((gradient == 0).all() for gradient in pull_back(direction))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_it_lowers_for_a_gpu(dtype: Any) -> None:
    (*arrays, direction), mask = case("self")

    def run(*arrays: jax.Array) -> Any:
        attend_by: Any = functools.partial(attention_triton.attention, mask=mask, scale=SCALE)
        return jax.vjp(attend_by, *arrays)[1](direction.astype(dtype))

    traced: Any = jax.jit(run).trace(*(array.astype(dtype) for array in arrays))
    assert traced.lower(lowering_platforms=("cuda",)).as_text().count("triton") >= 3


@pytest.mark.parametrize(
    ("size", "value_size", "dtype", "packed", "supported"),
    [
        (64, 64, jnp.bfloat16, True, True),
        (64, 64, jnp.float16, True, True),
        (64, 64, jnp.bfloat16, False, False),  # cuDNN's kernel is for rows of one sentence
        (64, 64, jnp.float32, True, False),
        (48, 48, jnp.bfloat16, True, False),
        (64, 32, jnp.bfloat16, True, False),
    ],
)
def test_supports(size: int, value_size: int, dtype: Any, packed: bool, supported: bool) -> None:
    query, value = (jax.ShapeDtypeStruct((2, TARGET, 3, width), dtype) for width in (size, value_size))
    segment_BT = segments("target") if packed else None
    mask = masks.with_segments(masks.causal(TARGET), segment_BT, segment_BT)
    assert attention_triton.supports(query, query, value, mask, True) == supported  # type: ignore[arg-type]
