"""The kernel against the reference, forwards and backwards, run step by step; and for what it is not used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import attention_splash, masks
from transformer.ops.attention import attend, dot_scores

SCALE = 0.3


def arrays(target: int, source: int, rows: int = 2) -> list[jax.Array]:
    """Queries, keys, values, and what a context is compared by."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = ((rows, target, 1, 5), (rows, source, 1, 5), (rows, source, 1, 7), (rows, target, 1, 7))
    return [jax.random.normal(key, size) for key, size in zip(keys, sizes, strict=True)]


PADDING = masks.padding(jnp.arange(256)[None] < jnp.array([[131], [256]]))


# Two sentences in the first row and padding behind them, three in the second.
SEGMENTS = jnp.stack([jnp.repeat(jnp.array([1, 2, 3]), jnp.array(sizes)) for sizes in ((60, 71, 125), (100, 150, 6))])
FIRST = SEGMENTS[:, ::2]  # of the same sentences, half as long


@pytest.mark.parametrize(
    ("target", "source", "mask", "causal"),
    [
        (128, 256, PADDING, False),
        (256, 256, masks.causal(256), True),
        (128, 256, masks.within(PADDING, FIRST, SEGMENTS), False),
        (256, 256, masks.within(masks.causal(256), SEGMENTS, SEGMENTS), True),
    ],
    ids=["padding", "causal", "padding of packed rows", "causal in packed rows"],
)
def test_it_equals_the_reference(target: int, source: int, mask: masks.Mask, causal: bool) -> None:
    *given, along = arrays(target, source)
    whole = masks.written_out(mask)
    along *= jnp.any(whole[:, 0], axis=-1)[:, :, None, None]  # what sees nothing has no weight
    assert attention_splash.allows(given[0], given[1], given[2], mask, causal)

    @jax.jit
    def reference(*given: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attend(dot_scores(given[0], given[1], SCALE), given[2], whole)[0]
        return jnp.sum(along * context), along * context

    @jax.jit
    def kernel(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = attention_splash.splash(query, key, value, mask, SCALE, interpret=True)
        return jnp.sum(along * context), along * context

    expected, found = (jax.grad(each, argnums=(0, 1, 2), has_aux=True)(*given) for each in (reference, kernel))
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_sentence_of_padding_alone_is_finite() -> None:
    query, key, value, _ = arrays(128, 128, rows=1)
    mask = masks.padding(jnp.zeros((1, 128), bool))
    context = jax.jit(
        lambda *given: attention_splash.splash(given[0], given[1], given[2], mask, SCALE, interpret=True)
    )(query, key, value)
    assert np.isfinite(context).all()


@pytest.mark.parametrize(
    ("target", "source", "shape", "causal", "allowed"),
    [
        (128, 384, (2, 1, 1, 384), False, True),
        (128, 384, (1, 1, 1, 384), True, True),
        (256, 256, (1, 1, 256, 256), True, True),
        (256, 256, (1, 1, 256, 256), False, False),  # hides something else
        (100, 128, (2, 1, 1, 128), False, False),
        (128, 100, (2, 1, 1, 100), False, False),
        (128, 128, (2, 1, 128, 128), True, False),  # another mask for each sentence
        (128, 256, (1, 1, 128, 256), True, False),  # a search step of 128 hypotheses
    ],
)
def test_lengths_and_masks_decide(
    target: int, source: int, shape: tuple[int, ...], causal: bool, allowed: bool
) -> None:
    query, key = (jax.ShapeDtypeStruct((2, length, 3, 5), jnp.float32) for length in (target, source))
    mask = jax.ShapeDtypeStruct(shape, jnp.bool_)
    assert attention_splash.allows(query, key, key, mask, causal) == allowed  # type: ignore[arg-type]
