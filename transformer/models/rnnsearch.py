"""*Neural Machine Translation by Jointly Learning to Align and Translate*, Bahdanau, Cho & Bengio 2015."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.attention import Attention
from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.linear import Linear, LinearWithoutBias
from transformer.layers.recurrent import UNROLL, Bidirectional, GRUCell, LSTMCell
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.ops import masks
from transformer.ops.dropout import Dropout, drop, drop_embeddings, fold_in


@dataclasses.dataclass(frozen=True)
class RNNSearchLayers:
    """Layers of the model, made by `models/build.py`."""

    encoder: Bidirectional
    cell: LSTMCell | GRUCell  # of the decoder
    attention: Attention  # with one head
    to_first: Linear  # the backward encoder's final state to the decoder's initial state
    to_query: LinearWithoutBias  # W_a, applied to the decoder's state
    to_key: Linear  # U_a, applied to the annotations
    token_to_gates: Linear  # applied to the embedding of the previous token
    context_to_gates: LinearWithoutBias  # C
    state_to_output: Linear  # U_o; the sum of these three has twice the width of the maxout layer
    token_to_output: LinearWithoutBias  # V_o
    context_to_output: LinearWithoutBias  # C_o


class _Keys(NamedTuple):
    """Annotations and their keys, computed once per sentence."""

    key_BSHK: jax.Array
    annotation_BSU: jax.Array
    mask_BS: jax.Array


def maxout(x: jax.Array) -> jax.Array:
    """Returns the maximum of each pair of neighbours, [..., 2 L] to [..., L]; Goodfellow et al. 2013."""
    return jnp.max(x.reshape(*x.shape[:-1], -1, 2), axis=-1)


class RNNSearch(nnx.Module):
    """A bidirectional encoder and a decoder with attention; Section 3, Appendix A.

    Implements `interface.Seq2Seq`.

    Departs: the output layer reads the decoder's new state, as in Eq. 4 (Section A.2.2 has the previous state); adds
    dropout on embeddings and before the softmax, where the paper has none.

    Args:
      layers: all layers except the embeddings.
      embed_source, embed_target, output: three embeddings, or the same one three times.
    """

    def __init__(
        self,
        layers: RNNSearchLayers,
        embed_source: Embedding,
        embed_target: Embedding,
        output: Embedding | BiasedOutput,
    ) -> None:
        self.encoder = layers.encoder
        self.cell = layers.cell
        self.attention = layers.attention
        self.to_first = layers.to_first
        self.to_query = layers.to_query
        self.to_key = layers.to_key
        self.token_to_gates = layers.token_to_gates
        self.context_to_gates = layers.context_to_gates
        self.state_to_output = layers.state_to_output
        self.token_to_output = layers.token_to_output
        self.context_to_output = layers.context_to_output
        self.embed_source = embed_source
        self.embed_target = embed_target
        self.output = output

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Encodes the source sentences; see `interface.Seq2Seq`."""
        mask_BS = masks.is_token(source_BS)
        x_BSD = drop_embeddings(self.embed_source(source_BS), fold_in(dropout, 0))
        annotation_BSU, _, backward_carry = self.encoder(x_BSD, mask_BS)
        return Memory(annotation_BSU, mask_BS, {}, decoder_init=backward_carry.hidden)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Decodes the shifted target with teacher forcing; see `interface.Seq2Seq`."""
        x_BTD = drop_embeddings(self.embed_target(target_BT), fold_in(dropout, 1))
        keys = self._keys(memory)

        def step(carry: Any, gates_BNG: jax.Array) -> tuple[Any, Any]:
            carry, context_BNU, weights_BHNS = self._advance(keys, carry, gates_BNG)
            return carry, (carry.hidden, context_BNU, weights_BHNS)

        # One hypothesis per sentence: N is 1.
        gates_TBNG = self.token_to_gates(x_BTD).swapaxes(0, 1)[:, :, None]
        _, outputs = jax.lax.scan(step, self._initial_carry(memory, 1), gates_TBNG, unroll=UNROLL)
        hidden_TBNR, context_TBNU, weights_TBHNS = outputs
        hidden_BTL = self._output(hidden_TBNR[:, :, 0].swapaxes(0, 1), x_BTD, context_TBNU[:, :, 0].swapaxes(0, 1))
        return Decoded(
            drop(hidden_BTL, fold_in(dropout, 2), "sublayer"),
            {"cross/0": jnp.moveaxis(weights_TBHNS[:, :, :, 0], 0, 2)},
        )

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Computes logits, [..., L] to float32 [..., V]."""
        return self.output.logits(hidden_D)

    def start(self, memory: Memory, beams: int, max_length: int) -> DecodeState:
        """Projects the annotations and makes the decoder's initial state."""
        del max_length
        return DecodeState(encoder_side=self._keys(memory), per_beam=self._initial_carry(memory, beams))

    def step(self, state: DecodeState, token_BN: jax.Array, position_B: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Reads one token of each hypothesis; see `interface.Seq2Seq`."""
        del position_B
        x_BND = self.embed_target(token_BN)
        carry, context_BNU, _ = self._advance(state.encoder_side, state.per_beam, self.token_to_gates(x_BND))
        return self.logits(self._output(carry.hidden, x_BND, context_BNU)), state._replace(per_beam=carry)

    def _keys(self, memory: Memory) -> _Keys:
        return _Keys(self.to_key(memory.states_BSD)[:, :, None], memory.states_BSD, memory.mask_BS)

    def _initial_carry(self, memory: Memory, beams: int) -> Any:
        """Returns s_0 = tanh(W_s ←h_1), Section A.2.2, for each hypothesis."""
        hidden_BR = jnp.tanh(self.to_first(memory.decoder_init))
        carry = self.cell.initial_carry((hidden_BR.shape[0], beams))
        return carry._replace(hidden=jnp.broadcast_to(hidden_BR[:, None], carry.hidden.shape))

    def _advance(self, keys: _Keys, carry: Any, gates_BNG: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """Attends with the previous state, then steps; returns the new carry, context_BNU and weights_BHNS, H = 1."""
        query_BNHK = self.to_query(carry.hidden)[:, :, None]
        scores_BHNS = self.attention.scores(query_BNHK, keys.key_BSHK)
        weights_BHNS = self.attention.weights_fn(scores_BHNS, masks.padding(keys.mask_BS))
        context_BNU = weights_BHNS[:, 0].astype(keys.annotation_BSU.dtype) @ keys.annotation_BSU
        gates_BNG = gates_BNG + self.context_to_gates(context_BNU)
        carry = self.cell(gates_BNG, carry)
        return carry, context_BNU, weights_BHNS

    def _output(self, hidden: jax.Array, token: jax.Array, context: jax.Array) -> jax.Array:
        """Computes the deep output with a single maxout hidden layer; Section A.2.2."""
        return maxout(self.state_to_output(hidden) + self.token_to_output(token) + self.context_to_output(context))
