"""The interpreted kernel against the reference, forward and backward, and the inputs that it does not support."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import attention_splash, masks
from transformer.ops.attention import attend, dot_scores

SCALE = 0.3


def arrays(target: int, source: int, rows: int = 2) -> list[jax.Array]:
    """Returns queries, keys, values and a direction for the context."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = ((rows, target, 1, 5), (rows, source, 1, 5), (rows, source, 1, 7), (rows, target, 1, 7))
    return [jax.random.normal(key, size) for key, size in zip(keys, sizes, strict=True)]


PADDING = masks.padding(jnp.asarray(np.arange(256) < [[131], [256]]))


# Two sentences and padding in the first row, three sentences in the second.
_SEGMENTS = np.stack([np.repeat([1, 2, 3], sizes) for sizes in ((60, 71, 125), (100, 150, 6))])
SEGMENTS = jnp.asarray(_SEGMENTS)
FIRST = jnp.asarray(_SEGMENTS[:, ::2])  # every second position


@pytest.mark.parametrize(
    ("target", "source", "mask", "causal"),
    [
        pytest.param(128, 256, PADDING, False, id="padding", marks=pytest.mark.slow),
        pytest.param(256, 256, masks.causal(256), True, id="causal", marks=pytest.mark.slow),
        pytest.param(128, 256, masks.with_segments(PADDING, FIRST, SEGMENTS), False, id="padding of packed rows"),
        pytest.param(
            256,
            256,
            masks.with_segments(masks.causal(256), SEGMENTS, SEGMENTS),
            True,
            id="causal in packed rows",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_equals_the_reference(target: int, source: int, mask: masks.Mask, causal: bool) -> None:
    *inputs, direction = arrays(target, source)
    full_mask = masks.materialise(mask)
    direction *= jnp.any(full_mask[:, 0], axis=-1)[:, :, None, None]  # fully masked queries have no weight
    assert attention_splash.supports(inputs[0], inputs[1], inputs[2], mask, causal)

    @jax.jit
    def reference(*inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attend(dot_scores(inputs[0], inputs[1], SCALE), inputs[2], full_mask)[0]
        return jnp.sum(direction * context), direction * context

    @jax.jit
    def kernel(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attention_splash.attention(query, key, value, mask, SCALE, interpret=True)
        return jnp.sum(direction * context), direction * context

    expected, actual = (
        jax.grad(function, argnums=(0, 1, 2), has_aux=True)(*inputs) for function in (reference, kernel)
    )
    for reference_leaf, kernel_leaf in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        np.testing.assert_allclose(kernel_leaf, reference_leaf, atol=1e-5)


def test_a_sentence_of_only_padding_is_finite() -> None:
    query, key, value, _ = arrays(128, 128, rows=1)
    mask = masks.padding(jnp.zeros((1, 128), bool))
    context = jax.jit(
        lambda *inputs: attention_splash.attention(inputs[0], inputs[1], inputs[2], mask, SCALE, interpret=True)
    )(query, key, value)
    assert np.isfinite(context).all()


@pytest.mark.parametrize(
    ("target", "source", "shape", "causal", "supported"),
    [
        (128, 384, (2, 1, 1, 384), False, True),
        (128, 384, (1, 1, 1, 384), True, True),
        (256, 256, (1, 1, 256, 256), True, True),
        (256, 256, (1, 1, 256, 256), False, False),  # a different square mask
        (100, 128, (2, 1, 1, 128), False, False),
        (128, 100, (2, 1, 1, 100), False, False),
        (128, 128, (2, 1, 128, 128), True, False),  # a different mask for each sentence
        (128, 256, (1, 1, 128, 256), True, False),  # a step of beam search with 128 hypotheses
    ],
)
def test_supports_by_length_and_mask(
    target: int, source: int, shape: tuple[int, ...], causal: bool, supported: bool
) -> None:
    query, key = (jax.ShapeDtypeStruct((2, length, 3, 5), jnp.float32) for length in (target, source))
    mask = jax.ShapeDtypeStruct(shape, jnp.bool_)
    assert attention_splash.supports(query, key, key, mask, causal) == supported  # type: ignore[arg-type]
