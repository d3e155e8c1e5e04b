"""The distribution that sampling draws from, against probabilities computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding.sampling import candidates, sentence_key
from transformer.decoding.search import search
from transformer.spec import EOS, MIN_TEMPERATURE, PAD

# Probabilities of UNK and the three words. EOS has none until it is forced.
# PAD and BOS have large logits and are excluded.
PROBABILITIES = {3: 0.4, 4: 0.3, 5: 0.2, 6: 0.1}


@pytest.fixture
def memoryless(markov):
    """A model with the same next token distribution everywhere."""
    model = markov(0)
    logits = jnp.full(7, -40.0).at[jnp.array([0, 1])].set(3.0)
    logits = logits.at[jnp.array(list(PROBABILITIES))].set(jnp.log(jnp.array(list(PROBABILITIES.values()))))
    return type(model)(jnp.broadcast_to(logits, model.table.shape))


@pytest.fixture
def similar(pad):
    """Sentences of three and four tokens that are nearly equal."""
    return pad([3, 4, 5, EOS], [4, 3, 5, EOS], [3, 4, 6, EOS], [3, 4, 5, 5, EOS], rows=4, width=5)


def tempered(probabilities, temperature):
    weights = {token: p ** (1 / temperature) for token, p in probabilities.items()}
    return {token: weight / sum(weights.values()) for token, weight in weights.items()}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, PROBABILITIES),
        ({"temperature": 0.5}, {3: 16 / 30, 4: 9 / 30, 5: 4 / 30, 6: 1 / 30}),
        ({"temperature": 2.0}, tempered(PROBABILITIES, 2.0)),
        ({"top_k": 1}, {3: 1.0}),
        ({"top_k": 3}, {3: 4 / 9, 4: 3 / 9, 5: 2 / 9}),
        ({"top_k": 100}, PROBABILITIES),
        ({"top_p": 0.39}, {3: 1.0}),
        ({"top_p": 0.41}, {3: 4 / 7, 4: 3 / 7}),
        ({"top_p": 0.75}, {3: 4 / 9, 4: 3 / 9, 5: 2 / 9}),
        ({"top_k": 3, "top_p": 0.5}, {3: 4 / 7, 4: 3 / 7}),
        ({"top_k": 2, "top_p": 0.5}, {3: 1.0}),  # 4/7 of the probability that top_k leaves is more than a half
        ({"temperature": 0.5, "top_p": 0.6}, {3: 16 / 25, 4: 9 / 25}),
    ],
)
def test_candidates_by_hand(make_spec, changes, expected):
    logits_BV = jnp.log(jnp.array([[1e-20, 1e-20, 1e-20, *PROBABILITIES.values()]]))
    logits_BV = jnp.concatenate([logits_BV, logits_BV[:, ::-1]])  # a second row with other candidates
    scores, token = candidates(logits_BV, make_spec(**changes))
    probability = np.zeros((2, 7))
    np.put_along_axis(probability, np.asarray(token), np.asarray(jax.nn.softmax(scores)), axis=1)
    by_hand = [expected.get(token, 0.0) for token in range(7)]
    np.testing.assert_allclose(probability, [by_hand, by_hand[::-1]], atol=1e-6)


def test_the_lowest_temperature_draws_the_most_probable_token(make_spec):
    """Where logits are a thousandth apart; a lower temperature is an error."""
    logits_BV = jnp.array([[-1e9, -1e9, -7.0, -5.002, -5.0, -5.001, -900.0]])
    scores, token = candidates(logits_BV, make_spec(method="sample", temperature=MIN_TEMPERATURE))
    drawn = jax.vmap(lambda key: jax.random.categorical(key, scores[0]))(jax.random.split(jax.random.key(0), 100))
    assert set(np.asarray(token[0][drawn]).tolist()) == {4}
    for temperature in (9e-7, 1e-8, 1e-38):
        with pytest.raises(ValueError, match=rf"decode.temperature .*{temperature}.*--method=greedy"):
            make_spec(method="sample", temperature=temperature)
    make_spec(method="beam", temperature=1e-8)  # unused


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, PROBABILITIES), ({"temperature": 0.5, "top_k": 3, "top_p": 0.8}, {3: 16 / 25, 4: 9 / 25})],
)
def test_frequencies(memoryless, run_search, similar, changes, expected):
    """Over 1600 draws: four sentences, at least 400 steps each, before the forced EOS."""
    result = run_search(memoryless, similar, method="sample", max_extra_length=397, **changes)
    draws = result.tokens_BNT[:, 0, :400].reshape(-1)
    for token in range(7):
        share, probability = np.mean(draws == token), expected.get(token, 0.0)
        # Four standard deviations; exactly zero where the probability is zero.
        assert abs(share - probability) <= 4 * np.sqrt(probability * (1 - probability) / draws.size), token


def test_draws_are_independent_of_each_other(memoryless, run_search, similar):
    """Between steps, between sentences that differ in one token, and between keys: 0.3 agree by chance."""
    first, again, second = (
        run_search(memoryless, similar, seed=seed, method="sample", max_extra_length=397).tokens_BNT[:, 0, :400]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    pairs = [(first[i], first[j]) for i in range(4) for j in range(i)]
    pairs += [(first[i, 1:], first[i, :-1]) for i in range(4)]
    pairs += list(zip(first, second, strict=True))
    for one, other in pairs:
        assert abs(np.mean(one == other) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 399)


def test_the_default_key_is_made_from_the_seed(markov, run_search, pad, make_spec):
    model, source_BS = markov(9, 0.5), pad([3, 5, EOS], [4, EOS], [6, 6, EOS])
    by_seed = jax.jit(lambda: search(model, source_BS, make_spec(method="sample", seed=17)))()
    by_key, other = (run_search(model, source_BS, seed=seed, method="sample") for seed in (17, 18))
    np.testing.assert_array_equal(by_seed.tokens_BNT, by_key.tokens_BNT)
    assert (by_key.tokens_BNT != other.tokens_BNT).any()


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_sentence_key_sees_tokens_and_their_order_but_no_padding(make_key):
    def data(*tokens):
        key = sentence_key(make_key(3), jnp.array(tokens, jnp.int32))
        return tuple(np.asarray(key if make_key is jax.random.PRNGKey else jax.random.key_data(key)).tolist())

    assert data(4, 5, EOS) == data(4, 5, EOS, PAD, PAD)
    assert len({data(4, 5, EOS), data(5, 4, EOS), data(4, EOS), data(4, 5, 5, EOS), data(PAD)}) == 5
