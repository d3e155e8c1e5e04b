"""All dropout sites of the Transformer, recorded from the masks that a pass draws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import dropout as ops
from transformer.ops.dropout import KINDS, Dropout

# Two layers per stack. Section 5.4: both embeddings, and the output of each sub-layer.
PLACES = {"embedding": 2, "sublayer": 2 * 2 + 2 * 3, "attention": 2 + 2 * 2, "feed_forward": 2 + 2, "word": 2}


def dropout(seed: int = 0, **rates: float) -> Dropout:
    every = {kind: jnp.float32(rates.get(kind, 0.0)) for kind in KINDS}
    return Dropout.from_key(jax.random.key(seed), every)


def test_every_site_has_an_effect_and_its_own_mask(net, batch, compiled, monkeypatch) -> None:
    """Dropping all units of one site changes the logits."""
    kinds, seeds = [], []

    def run(base: Dropout, silenced: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        kinds.clear()
        seeds.clear()

        def keep_mask(seed, rate, shape, first_row):
            kinds.append(next(kind for kind in KINDS if base.rates[kind] is rate))
            seeds.append(seed)
            return jnp.broadcast_to(len(kinds) - 1 != silenced, shape)

        monkeypatch.setattr(ops, "keep_mask", keep_mask)
        model = net.model()
        decoded = model.decode(model.encode(batch[0], base), batch[1], base)
        return model.logits(decoded.hidden_BTD), list(seeds)

    total = sum(PLACES.values())
    every = compiled(jax.vmap(run, (None, 0), (0, None)))
    logits, seeds_of_places = every(dropout(), jnp.arange(total + 1))
    assert {kind: kinds.count(kind) for kind in KINDS} == PLACES
    assert len({tuple(np.asarray(seed).tolist()) for seed in seeds_of_places}) == total
    logits = np.asarray(logits)
    changes = np.abs(logits[:-1] - logits[-1]).max(axis=(1, 2, 3))
    assert (changes > 1e-2).all(), dict(enumerate(zip(kinds, changes, strict=True)))
    np.testing.assert_allclose(logits[-1], net(*batch).logits_BTV, atol=1e-4)


@pytest.fixture(scope="module")
def logits(net, batch):
    """Logits of the batch, or of some of its rows, with dropout."""

    def run(dropout: Dropout, rows: slice = slice(None)) -> np.ndarray:
        return np.asarray(net(*(ids[rows] for ids in batch), dropout).logits_BTV)

    return run


def test_dropout_is_a_pure_function_of_key_and_rate(logits) -> None:
    outputs = [logits(dropout(seed, **{kind: 0.5})) for kind in KINDS for seed in (0, 1)]
    for number, one in enumerate(outputs):
        assert all(np.abs(one - other).max() > 0.01 for other in outputs[:number])
    np.testing.assert_array_equal(logits(dropout(1, **{KINDS[-1]: 0.5})), outputs[-1])


def test_without_rates_there_is_no_dropout(net, batch, logits) -> None:
    """`None`, no rates, and rates of zero."""
    expected = net(*batch).logits_BTV
    nothing = Dropout.from_key(jax.random.key(0), {})
    np.testing.assert_array_equal(net(*batch, nothing).logits_BTV, expected)
    np.testing.assert_allclose(logits(dropout()), expected, atol=1e-5)


def test_masks_do_not_depend_on_how_a_batch_is_split(logits) -> None:
    base = dropout(**dict.fromkeys(KINDS, 0.3))
    parts = [
        logits(dataclasses.replace(base, first_row=jnp.uint32(first)), slice(first, first + 2)) for first in (0, 2)
    ]
    np.testing.assert_allclose(np.concatenate(parts), logits(base), atol=1e-4)
