"""Score functions against NumPy. Sizes: B 2, T 5, S 3, H 3, K 7, U 2."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.attention import Attention
from transformer.layers.scores import (
    AdditiveScore,
    CosineScore,
    DotScore,
    LearnedScaleDotScore,
    Score,
    TopKWeights,
)
from transformer.ops.dropout import Dropout

HEADS, D_K = 3, 7


@pytest.fixture(scope="module")
def arrays() -> list[jax.Array]:
    generator = np.random.default_rng(1)
    shapes = [(2, 5, HEADS, D_K), (2, 3, HEADS, D_K), (2, 3, HEADS, 2)]
    return [jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in shapes]


@pytest.fixture(scope="module")
def additive(draw) -> AdditiveScore:
    return draw(lambda: AdditiveScore(HEADS, D_K, rngs=nnx.Rngs(0)))


def products(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    return np.einsum("bthk,bshk->bhts", query, key)


def dot(score: DotScore, query: np.ndarray, key: np.ndarray) -> np.ndarray:
    return products(query, key) * score.scale


def learned_scale(score: LearnedScaleDotScore, query: np.ndarray, key: np.ndarray) -> np.ndarray:
    return products(query, key) * np.asarray(score.scale_H[...])[:, None, None]


def cosine(score: CosineScore, query: np.ndarray, key: np.ndarray) -> np.ndarray:
    unit_query, unit_key = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (query, key))
    return products(unit_query, unit_key) * np.exp(np.asarray(score.log_scale_H[...], np.float64))[:, None, None]


def additive_by_hand(score: AdditiveScore, query: np.ndarray, key: np.ndarray) -> np.ndarray:
    vector_HK = np.asarray(score.vector_HK[...], np.float64)
    return np.einsum("btshk,hk->bhts", np.tanh(query[:, :, None] + key[:, None]), vector_HK)


SCORES: dict[str, tuple[Callable[[], Score], Callable[..., np.ndarray]]] = {
    "dot": (lambda: DotScore(0.3), dot),
    "learned scale": (lambda: LearnedScaleDotScore(HEADS, 0.3), learned_scale),
    "additive": (lambda: AdditiveScore(HEADS, D_K, rngs=nnx.Rngs(0)), additive_by_hand),
    "cosine": (lambda: CosineScore(HEADS, D_K), cosine),
}


def drawn(draw: Callable[..., nnx.Module], make: Callable[[], Score]) -> Score:
    """A score with drawn parameters, if it has any."""
    return draw(make) if isinstance(make(), nnx.Module) else make()  # type: ignore[return-value]


@pytest.mark.parametrize("name", SCORES)
def test_scores_equal_numpy(draw, arrays, name: str) -> None:
    make, by_hand = SCORES[name]
    score, (query, key, _) = drawn(draw, make), arrays
    scores_BHTS = jax.jit(score.__call__)(query, key)
    assert (scores_BHTS.shape, scores_BHTS.dtype) == ((2, HEADS, 5, 3), jnp.float32)
    expected = by_hand(score, *(np.asarray(array, np.float64) for array in (query, key)))
    np.testing.assert_allclose(scores_BHTS, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_terms_are_factors_of_the_score(draw, arrays, name: str) -> None:
    score, (query, key, _) = drawn(draw, SCORES[name][0]), arrays
    raw_BHTS, factor_H = score.terms(query, key)
    assert factor_H.shape == (HEADS,)
    np.testing.assert_allclose(raw_BHTS * factor_H.reshape(1, -1, 1, 1), score(query, key), rtol=1e-6, atol=1e-6)
    assert score.name
    assert score.formula.startswith(score.raw_formula)


def test_cosines_ignore_lengths_and_are_finite_at_zero() -> None:
    score = CosineScore(HEADS, D_K)
    query, key = (jnp.asarray(np.random.default_rng(seed).normal(size=(2, 3, HEADS, D_K))) for seed in (1, 2))
    np.testing.assert_allclose(score(query, key), score(3 * query, 0.5 * key), atol=1e-5)
    raw_BHTS, factor_H = score.terms(query, query)
    np.testing.assert_allclose(np.diagonal(raw_BHTS, axis1=2, axis2=3), 1, atol=1e-6)
    np.testing.assert_allclose(factor_H, D_K**0.5, rtol=1e-6)
    gradient = jax.grad(lambda query: score(query, key).sum())(jnp.zeros_like(query))
    assert np.isfinite(gradient).all()


def test_scores_of_random_directions_start_with_variance_one() -> None:
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 101, HEADS, 31))
    assert float(jnp.std(CosineScore(HEADS, 31)(query, key))) == pytest.approx(1, abs=0.03)


def test_weights_are_a_softmax_of_unmasked_scores(additive, arrays) -> None:
    query, key, value = arrays
    mask = jnp.array([[True, True, False], [True, True, True]])[:, None, None]
    context, weights = Attention(additive)(query, key, value, mask)
    scores = np.where(mask, np.asarray(additive(query, key)), -np.inf)
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(context, np.einsum("bhts,bshu->bthu", expected, value), atol=1e-6)


def test_top_k_weights_are_a_softmax_of_the_largest_scores(arrays) -> None:
    scores_BHTS = DotScore(1.0)(*arrays[:2])
    weights_BHTS = np.asarray(TopKWeights(2)(scores_BHTS, jnp.ones((1, 1, 1, 3), bool)))
    assert ((weights_BHTS > 0).sum(axis=-1) == 2).all()
    assert (weights_BHTS.argmin(axis=-1) == np.asarray(scores_BHTS).argmin(axis=-1)).all()
    np.testing.assert_allclose(weights_BHTS.sum(axis=-1), 1, atol=1e-6)


def test_dropout_acts_on_the_context_only(additive, arrays) -> None:
    (query, key, value), mask = arrays, jnp.ones((1, 1, 1, 1), bool)
    dropout = Dropout(jnp.arange(2, dtype=jnp.uint32), {"attention": jnp.float32(0.5)}, jnp.uint32(0))
    attention = Attention(additive)
    plain, dropped = attention(query, key, value, mask), attention(query, key, value, mask, dropout)
    np.testing.assert_array_equal(plain[1], dropped[1])
    assert np.abs(plain[0] - dropped[0]).max() > 0.1
