"""Search with every architecture: equal tokens, and scores equal up to rounding."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from transformer.decoding.search import search
from transformer.models.build import ARCHITECTURES, abstract_model
from transformer.models.interface import DecodeState
from transformer.ops.masks import at_position
from transformer.spec import EOS, PAD, Spec
from transformer.training.state import split

SETTINGS: dict[str, dict[str, Any]] = {
    "transformer": {"heads": 3, "d_k": 5, "d_v": 7, "encoder_layers": 1, "decoder_layers": 2},
    "rnnsearch": {"heads": 1, "encoder_layers": 1, "decoder_layers": 1, "cell": "gru", "cross_score": "additive"},
    "seq2seq": {"heads": 1, "encoder_layers": 2, "decoder_layers": 2, "d_state": 11, "reverse_source": True},
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name == "transformer" else pytest.mark.slow) for name in ARCHITECTURES],
)
def model(request):
    """A model definition with 23 tokens, and parameters that give peaked distributions."""
    spec = dataclasses.replace(
        Spec.from_config(base.get_config().to_dict()).model,
        architecture=request.param,
        d_model=12,
        d_ff=19,
        tie_embeddings=False,
        **SETTINGS[request.param],
    )
    structure, shapes = split(abstract_model(spec, 23))
    generator = np.random.default_rng(2)

    def draw(path, leaf):
        name = path[-1].key
        mean, deviation = {"scale_D": (1.0, 0.2), "bias_D": (0.0, 0.2), "bias": (0.0, 0.2)}.get(name, (0.0, 0.75))
        return jnp.asarray(generator.normal(mean, deviation, leaf.shape), leaf.dtype)

    return structure, jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="module")
def sentences():
    generator = np.random.default_rng(3)
    return [[*generator.integers(3, 23, generator.integers(1, 8)).tolist(), EOS] for _ in range(64)]


class Uncached:
    """Keeps the tokens so far and decodes all of them again at each step."""

    def __init__(self, model):
        self.encode, self.decode, self.logits = model.encode, model.decode, model.logits

    def start(self, memory, beams, max_length):
        return DecodeState(memory, jnp.full((memory.mask_BS.shape[0], beams, max_length), PAD, jnp.int32))

    def step(self, state, token_BN, position_B):
        new_B1T = at_position(position_B, state.per_beam.shape[-1])[:, None]
        tokens_BNT = jnp.where(new_B1T, token_BN[..., None], state.per_beam)
        hidden_BNTD = jax.vmap(self.decode, (None, 1), 1)(state.encoder_side, tokens_BNT).hidden_BTD
        hidden_BND = jnp.take_along_axis(hidden_BNTD, position_B[:, None, None, None], axis=2, mode="clip")[:, :, 0]
        return self.logits(hidden_BND), DecodeState(state.encoder_side, tokens_BNT)


@pytest.fixture(scope="module")
def translate(model):
    """Compiled beam search with a result of numpy arrays."""
    structure, parameters = model

    def compiled(wrap, parameters, source_BS, spec):
        return search(wrap(structure(parameters)), source_BS, spec)

    compiled = jax.jit(compiled, static_argnums=(0, 3))
    return lambda source_BS, spec, wrap=lambda model: model: jax.tree.map(
        np.asarray, compiled(wrap, parameters, jnp.asarray(source_BS), spec)
    )


def same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    for a, b in zip(one[1:], other[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_cached_equals_uncached_and_teacher_forcing(model, translate, sentences, pad, make_spec, teacher_forced):
    source_BS, spec = pad(*sentences, width=8), make_spec(max_extra_length=7)
    cached = translate(source_BS, spec)
    same(cached, translate(source_BS, spec, Uncached))
    expected = teacher_forced(model[0](model[1]), source_BS, cached.tokens_BNT)
    np.testing.assert_allclose(cached.scores_BN, expected, rtol=1e-4)


def test_results_do_not_depend_on_batch_order_or_padding(translate, sentences, pad, make_spec):
    spec = make_spec(max_extra_length=7)
    source_BS = pad(*sentences, width=8)
    batch = translate(source_BS, spec)
    assert len(np.unique(batch.tokens_BNT[:, 0], axis=0)) > 20
    order = np.random.default_rng(0).permutation(64)
    same(translate(source_BS[order], spec), [leaf[order] for leaf in batch])
    for row in range(5):
        same(translate(source_BS[row : row + 1], spec), [leaf[row : row + 1] for leaf in batch])
    wider = translate(pad(*sentences, width=13), spec)
    assert (wider.tokens_BNT[..., 15:] == PAD).all()
    same([wider.tokens_BNT[..., :15], *wider[1:]], batch)
