"""What is asked of the kernel equals the reference; and for what it is not used.

No GPU is needed: JAX's own attention takes the same arguments on any device. That a GPU gets the kernel:
tests/layers/test_fused_attention.py.
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
    """Queries, keys, values, and what a context is compared by; two sentences, three heads of eight."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = ((2, length, 3, 8) for length in (target, source, source, target))
    return [jax.random.normal(key, size) for key, size in zip(keys, sizes, strict=True)]


@pytest.mark.parametrize(
    ("target", "source", "mask"),
    [(5, 11, PADDING), (7, 7, masks.causal(7))],
    ids=["padding", "causal"],
)
def test_its_arguments_say_what_the_mask_says(target: int, source: int, mask: jax.Array) -> None:
    *given, along = arrays(target, source)

    @jax.jit
    def reference(*given: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attend(dot_scores(given[0], given[1], SCALE), given[2], mask)[0]
        return jnp.sum(along * context), context

    @jax.jit
    def asked(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attention_cudnn.attention(query, key, value, mask, SCALE, implementation="xla")
        return jnp.sum(along * context), context

    expected, found = (jax.grad(each, argnums=(0, 1, 2), has_aux=True)(*given) for each in (reference, asked))
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_sentence_of_padding_alone_is_finite() -> None:
    query, key, value, _ = arrays(5, 11)
    context = attention_cudnn.attention(
        query, key, value, masks.padding(jnp.zeros((2, 11), bool)), SCALE, implementation="xla"
    )
    assert np.isfinite(context).all()


@pytest.mark.parametrize(
    ("target", "source", "shape", "causal", "allowed"),
    [
        (5, 11, (2, 1, 1, 11), False, True),
        (5, 11, (1, 1, 1, 11), True, True),
        (7, 7, (1, 1, 7, 7), True, True),
        (7, 7, (1, 1, 7, 7), False, False),  # hides something else
        (7, 7, (2, 1, 7, 7), True, False),  # another mask for each sentence
        (5, 11, (1, 1, 5, 11), True, False),  # a search step of five hypotheses
    ],
)
def test_the_mask_decides(target: int, source: int, shape: tuple[int, ...], causal: bool, allowed: bool) -> None:
    query, key = (jax.ShapeDtypeStruct((2, length, 3, 8), jnp.bfloat16) for length in (target, source))
    mask = jax.ShapeDtypeStruct(shape, jnp.bool_)
    assert attention_cudnn.allows(query, key, key, mask, causal) == allowed  # type: ignore[arg-type]


def test_it_does_not_keep_sentences_of_a_row_apart() -> None:
    *given, _ = (each.astype(jnp.bfloat16) for each in arrays(7, 7))
    segment_BT = jnp.ones((2, 7), jnp.int32)
    assert attention_cudnn.allows(given[0], given[1], given[2], masks.causal(7), True)
    mask = masks.within(masks.causal(7), segment_BT, segment_BT)
    assert not attention_cudnn.allows(given[0], given[1], given[2], mask, True)


@pytest.mark.parametrize(
    ("widths", "dtype", "allowed"),
    [
        ((8, 8), jnp.bfloat16, True),
        ((128, 128), jnp.float16, True),
        ((8, 8), jnp.float32, False),
        ((12, 12), jnp.bfloat16, False),
        ((136, 136), jnp.bfloat16, False),
        ((8, 16), jnp.bfloat16, False),
    ],
)
def test_widths_and_dtype_decide(widths: tuple[int, int], dtype: type, allowed: bool) -> None:
    key, value = (jax.ShapeDtypeStruct((2, 11, 3, width), dtype) for width in widths)
    mask = jax.ShapeDtypeStruct((2, 1, 1, 11), jnp.bool_)
    assert attention_cudnn.allows(key, key, value, mask, False) == allowed  # type: ignore[arg-type]
