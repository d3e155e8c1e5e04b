"""A model small enough to search by hand: a table of the next token given the last two tokens and the position."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding.search import search
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.spec import BOS, PAD, DecodeSpec

VOCABULARY = 7  # PAD, BOS, EOS, UNK and three words
CLASSES = 31  # classes of source sentences; the class is the weighted sum of the tokens
POSITIONS = 13  # period of the chain's transitions, in steps


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Markov:
    """One second-order Markov chain per source class, behind the Seq2Seq interface.

    Its per-beam state is the token before last: a search that does not reorder states fails. Each position has its own
    transitions: otherwise outputs with the same transitions in another order would tie.
    """

    table: jax.Array  # logits, [class, position, token before last, last token, V]

    def encode(self, source_BS, dropout=None):
        weights_S = 1 + jnp.arange(source_BS.shape[1])
        kind_B = jnp.sum(source_BS * weights_S[None], axis=1) % CLASSES
        states_BSD = jnp.broadcast_to(kind_B[:, None, None].astype(jnp.float32), (*source_BS.shape, 1))
        return Memory(states_BSD, source_BS != PAD, {})

    def decode(self, memory, target_BT, dropout=None):
        before_BT = jnp.pad(target_BT, ((0, 0), (1, 0)), constant_values=BOS)[:, :-1]
        kind_B = memory.states_BSD[:, 0, 0].astype(jnp.int32)
        position_T = jnp.arange(target_BT.shape[1]) % POSITIONS
        return Decoded(self.table[kind_B[:, None], position_T[None], before_BT, target_BT], {})

    def logits(self, hidden_D):
        return hidden_D

    def start(self, memory, beams, max_length):
        kind_B = memory.states_BSD[:, 0, 0].astype(jnp.int32)
        return DecodeState(kind_B, jnp.full((kind_B.shape[0], beams), BOS, jnp.int32))

    def step(self, state, token_BN, position_B):
        position_B1 = position_B[:, None] % POSITIONS
        logits_BNV = self.table[state.encoder_side[:, None], position_B1, state.per_beam, token_BN]
        return logits_BNV, DecodeState(state.encoder_side, token_BN)


@pytest.fixture
def markov():
    """Makes a chain with random transitions from a seed."""

    def make(seed: int, sharpness: float = 2.0) -> Markov:
        table = np.random.default_rng(seed).normal(size=(CLASSES, POSITIONS, *[VOCABULARY] * 3))
        return Markov(jnp.asarray(sharpness * table, jnp.float32))

    return make


@pytest.fixture
def pad():
    """Makes source_BS of sentences. Tests share one shape where possible: each new one is compiled."""

    def make(*sentences: list[int], rows: int = 64, width: int = 7) -> np.ndarray:
        source_BS = np.full((rows, width), PAD, np.int32)
        for row, sentence in enumerate(sentences):
            source_BS[row, : len(sentence)] = sentence
        return source_BS

    return make


@pytest.fixture
def make_spec():
    """Makes the settings of a search."""
    base = DecodeSpec(
        method="beam",
        beam_size=3,
        length_penalty=0.6,
        max_extra_length=5,
        batch_size=64,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        seed=0,
    )
    return functools.partial(dataclasses.replace, base)


@pytest.fixture
def run_search(make_spec):
    """Runs a compiled search and returns its result as numpy arrays."""

    def run(model, source_BS, seed: int = 0, prefix_BT=None, **changes):
        key = jax.random.key(seed)
        arguments = (model, jnp.asarray(source_BS), make_spec(**changes), key)
        return jax.tree.map(np.asarray, _compiled(*arguments, prefix_BT=prefix_BT))

    return run


_compiled = jax.jit(search, static_argnums=2)


@pytest.fixture
def teacher_forced():
    """Computes the log-probability of outputs, scores_BN, with `decode` only; 0 for an empty row."""

    def score(model, source_BS, tokens_BNT) -> np.ndarray:
        @jax.jit
        def logp(source_BS, shifted_BT):
            return jax.nn.log_softmax(model.logits(model.decode(model.encode(source_BS), shifted_BT).hidden_BTD))

        columns = []
        for target_BT in np.moveaxis(np.asarray(tokens_BNT), 1, 0):
            shifted_BT = np.concatenate([np.full_like(target_BT[:, :1], BOS), target_BT[:, :-1]], axis=1)
            logp_BTV = np.asarray(logp(source_BS, shifted_BT))
            chosen_BT = np.take_along_axis(logp_BTV, target_BT[..., None], axis=-1)[..., 0]
            columns.append(np.where(target_BT == PAD, 0.0, chosen_BT).sum(axis=1))
        return np.stack(columns, axis=1)

    return score
