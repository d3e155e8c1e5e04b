"""The arguments of the cuDNN kernel, and the inputs that it does not support.

These tests need no GPU: JAX's XLA implementation takes the same arguments. tests/layers/test_fused_attention.py tests
that a GPU runs the kernel.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import attention_cudnn, masks
from transformer.ops.attention import attend, dot_scores

SCALE = 0.3
PADDING = masks.padding(jnp.arange(11)[None] < jnp.array([[7], [11]]))


def arrays(target: int, source: int) -> list[jax.Array]:
    """Returns queries, keys, values and a direction for the context; two sentences, three heads of size eight."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = ((2, length, 3, 8) for length in (target, source, source, target))
    return [jax.random.normal(key, size) for key, size in zip(keys, sizes, strict=True)]


@pytest.mark.parametrize(
    ("target", "source", "mask"),
    [(5, 11, PADDING), (7, 7, masks.causal(7))],
    ids=["padding", "causal"],
)
def test_its_arguments_express_the_mask(target: int, source: int, mask: jax.Array) -> None:
    *inputs, direction = arrays(target, source)

    @jax.jit
    def reference(*inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attend(dot_scores(inputs[0], inputs[1], SCALE), inputs[2], mask)[0]
        return jnp.sum(direction * context), context

    @jax.jit
    def kernel(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attention_cudnn.attention(query, key, value, mask, SCALE, implementation="xla")
        return jnp.sum(direction * context), context

    expected, actual = (
        jax.grad(function, argnums=(0, 1, 2), has_aux=True)(*inputs) for function in (reference, kernel)
    )
    for reference_leaf, kernel_leaf in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        np.testing.assert_allclose(kernel_leaf, reference_leaf, atol=1e-5)


def test_a_sentence_of_only_padding_is_finite() -> None:
    query, key, value, _ = arrays(5, 11)
    context = attention_cudnn.attention(
        query, key, value, masks.padding(jnp.zeros((2, 11), bool)), SCALE, implementation="xla"
    )
    assert np.isfinite(context).all()


@pytest.mark.parametrize(
    ("target", "source", "shape", "causal", "supported"),
    [
        (5, 11, (2, 1, 1, 11), False, True),
        (5, 11, (1, 1, 1, 11), True, True),
        (7, 7, (1, 1, 7, 7), True, True),
        (7, 7, (1, 1, 7, 7), False, False),  # a different square mask
        (7, 7, (2, 1, 7, 7), True, False),  # a different mask for each sentence
        (5, 11, (1, 1, 5, 11), True, False),  # a step of beam search with five hypotheses
    ],
)
def test_supports_by_mask(target: int, source: int, shape: tuple[int, ...], causal: bool, supported: bool) -> None:
    query, key = (jax.ShapeDtypeStruct((2, length, 3, 8), jnp.bfloat16) for length in (target, source))
    mask = jax.ShapeDtypeStruct(shape, jnp.bool_)
    assert attention_cudnn.supports(query, key, key, mask, causal) == supported  # type: ignore[arg-type]


def test_it_does_not_support_segments() -> None:
    *inputs, _ = (function.astype(jnp.bfloat16) for function in arrays(7, 7))
    segment_BT = jnp.ones((2, 7), jnp.int32)
    assert attention_cudnn.supports(inputs[0], inputs[1], inputs[2], masks.causal(7), True)
    mask = masks.with_segments(masks.causal(7), segment_BT, segment_BT)
    assert not attention_cudnn.supports(inputs[0], inputs[1], inputs[2], mask, True)


@pytest.mark.parametrize(
    ("widths", "dtype", "supported"),
    [
        ((8, 8), jnp.bfloat16, True),
        ((128, 128), jnp.float16, True),
        ((8, 8), jnp.float32, False),
        ((12, 12), jnp.bfloat16, False),
        ((136, 136), jnp.bfloat16, False),
        ((8, 16), jnp.bfloat16, False),
    ],
)
def test_supports_by_head_size_and_dtype(widths: tuple[int, int], dtype: type, supported: bool) -> None:
    key, value = (jax.ShapeDtypeStruct((2, 11, 3, width), dtype) for width in widths)
    mask = jax.ShapeDtypeStruct((2, 1, 1, 11), jnp.bool_)
    assert attention_cudnn.supports(key, key, value, mask, False) == supported  # type: ignore[arg-type]
