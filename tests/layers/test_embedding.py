import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.embedding import BiasedOutput, Embedding

VOCABULARY, D_MODEL = 11, 7


def make(scale: float = 1.0, dtype=jnp.float32) -> Embedding:
    return Embedding(VOCABULARY, D_MODEL, scale=scale, dtype=dtype, rngs=nnx.Rngs(0))


look_up = jax.jit(Embedding.__call__)
compare = jax.jit(Embedding.logits)


def test_lookup_scales_rows(draw) -> None:
    embedding = draw(lambda: make(scale=3.0))
    token_BT = np.array([[4, 0, 10], [10, 10, 1]])
    table_VD = np.asarray(embedding.table_VD[...])
    assert table_VD.shape == (VOCABULARY, D_MODEL)
    np.testing.assert_allclose(look_up(embedding, token_BT), 3 * table_VD[token_BT], rtol=1e-6)


def test_logits_are_unscaled_inner_products(draw) -> None:
    embedding = draw(lambda: make(scale=3.0))
    hidden_BTD = np.random.default_rng(1).normal(size=(2, 3, D_MODEL)).astype(np.float32)
    logits_BTV = np.asarray(compare(embedding, hidden_BTD))
    assert logits_BTV.shape == (2, 3, VOCABULARY)
    table_VD = np.asarray(embedding.table_VD[...])
    for token in range(VOCABULARY):
        np.testing.assert_allclose(logits_BTV[..., token], hidden_BTD @ table_VD[token], atol=1e-5)


def test_biases_are_added_to_logits(draw) -> None:
    output = draw(lambda: BiasedOutput(make(), VOCABULARY))
    hidden_BTD = np.random.default_rng(1).normal(size=(2, 3, D_MODEL)).astype(np.float32)
    biased_BTV = jax.jit(BiasedOutput.logits)(output, hidden_BTD)
    assert np.abs(output.bias_V[...]).min() > 0
    np.testing.assert_allclose(
        biased_BTV - compare(output.embedding, hidden_BTD), np.tile(output.bias_V[...], (2, 3, 1)), atol=1e-5
    )


def test_tied_gradients_add_up(draw) -> None:
    """The gradient of sum(E[4] · 3) + sum(h Eᵀ) is 3 in row 4 plus h in every row."""
    embedding = draw(lambda: make(scale=3.0))
    hidden_D = np.arange(D_MODEL, dtype=np.float32)

    def total(embedding: Embedding) -> jax.Array:
        return jnp.sum(embedding(jnp.array([[4]]))) + jnp.sum(embedding.logits(jnp.asarray(hidden_D)))

    expected_VD = np.tile(np.arange(D_MODEL), (VOCABULARY, 1)) + 3 * (np.arange(VOCABULARY) == 4)[:, None]
    gradient = jax.jit(jax.grad(total))(embedding)
    np.testing.assert_allclose(gradient.table_VD[...], expected_VD, rtol=1e-6)


def test_scaled_embeddings_start_with_variance_one() -> None:
    embedding = Embedding(1009, 31, scale=math.sqrt(31), dtype=jnp.float32, rngs=nnx.Rngs(params=3))
    x = np.asarray(look_up(embedding, np.arange(1009)))
    # Standard errors of 31,279 normal samples: 0.4 % of σ for the deviation and 0.6 % of σ for the mean.
    assert x.std() == pytest.approx(1, abs=0.02)
    assert x.mean() == pytest.approx(0, abs=0.03)
    assert np.mean(np.abs(x) < 1) == pytest.approx(0.6827, abs=0.015)  # as of a normal distribution


def test_bfloat16_has_float32_tables_and_logits(draw) -> None:
    embedding = draw(lambda: make(scale=3.0, dtype=jnp.bfloat16))
    table_VD = np.asarray(embedding.table_VD[...])
    assert table_VD.dtype == np.float32
    x = np.asarray(look_up(embedding, np.array([[4, 0]])))
    assert x.dtype == jnp.bfloat16
    np.testing.assert_array_equal(x, (3 * table_VD[np.array([[4, 0]])]).astype(jnp.bfloat16))
    logits_BTV = compare(embedding, x)
    assert logits_BTV.dtype == jnp.float32
    # Products of bfloat16 numbers are exact in float32, and the sum is float32: no rounding to eight bits.
    rounded_VD = table_VD.astype(jnp.bfloat16).astype(np.float32)
    np.testing.assert_allclose(logits_BTV, x.astype(np.float32) @ rounded_VD.T, atol=1e-5)
