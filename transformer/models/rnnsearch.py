"""*Neural Machine Translation by Jointly Learning to Align and Translate*, Bahdanau, Cho & Bengio 2015."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.attention import Attention
from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.linear import Linear, Unbiased
from transformer.layers.recurrent import UNROLL, Bidirectional, GRUCell, LSTMCell
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.ops import masks, recurrence
from transformer.ops.dropout import Dropout, at_site, drop, drop_embedded


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of the model: what `models/build.py` makes."""

    encoder: Bidirectional
    cell: LSTMCell | GRUCell  # of the decoder
    attention: Attention  # scores one head
    to_first: Linear  # the backward encoder's last state to the decoder's first one
    to_query: Unbiased  # W_a, of the decoder's state
    to_key: Linear  # U_a, of the annotations
    token_to_gates: Linear  # of the embedding of the last token
    context_to_gates: Unbiased  # C
    state_to_output: Linear  # U_o; these three add up to twice the width of the maxout layer
    token_to_output: Unbiased  # V_o
    context_to_output: Unbiased  # C_o


class _Keys(NamedTuple):
    """The annotations as the decoder wants them; made once a sentence."""

    key_BSHK: jax.Array
    annotation_BSU: jax.Array
    mask_BS: jax.Array


def maxout(x: jax.Array) -> jax.Array:
    """The larger one of each pair of neighbours, [..., 2 L] to [..., L]; Goodfellow et al. 2013."""
    return jnp.max(x.reshape(*x.shape[:-1], -1, 2), axis=-1)


class RNNSearch(nnx.Module):
    """A bidirectional encoder, and a decoder that looks for the words it needs at each step; Section 3, Appendix A.

    Implements `interface.Seq2Seq`.

    Departs: the output layer sees the decoder's new state, as Eq. 4 has it (Section A.2.2 has the one before); dropout
    on embeddings and before the softmax, where the paper has none.

    Args:
      parts: its layers.
      embed_source, embed_target, output: three embeddings, or one object three times.
    """

    def __init__(
        self, parts: Parts, embed_source: Embedding, embed_target: Embedding, output: Embedding | BiasedOutput
    ) -> None:
        self.encoder = parts.encoder
        self.cell = parts.cell
        self.attention = parts.attention
        self.to_first = parts.to_first
        self.to_query = parts.to_query
        self.to_key = parts.to_key
        self.token_to_gates = parts.token_to_gates
        self.context_to_gates = parts.context_to_gates
        self.state_to_output = parts.state_to_output
        self.token_to_output = parts.token_to_output
        self.context_to_output = parts.context_to_output
        self.embed_source = embed_source
        self.embed_target = embed_target
        self.output = output

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Reads the source sentences; see `interface.Seq2Seq`."""
        mask_BS = masks.is_token(source_BS)
        x_BSD = drop_embedded(self.embed_source(source_BS), at_site(dropout, 0))
        annotation_BSU, _, first = self.encoder(x_BSD, mask_BS)
        return Memory(annotation_BSU, mask_BS, {}, summary=first.hidden)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Reads the shifted target all at once; see `interface.Seq2Seq`."""
        x_BTD = drop_embedded(self.embed_target(target_BT), at_site(dropout, 1))
        keys = self._keys(memory)

        def step(product: recurrence.Product, carry: Any, gates_BNG: jax.Array) -> tuple[Any, Any]:
            carry, context_BNU, weights_BHNS = self._advance(product, keys, carry, gates_BNG)
            return carry, (carry.hidden, context_BNU, weights_BHNS)

        # A sentence has one hypothesis here: N is 1.
        gates_TBNG = self.token_to_gates(x_BTD).swapaxes(0, 1)[:, :, None]
        _, found = recurrence.scan(step, self._weights(keys), self._first(memory, 1), gates_TBNG, unroll=UNROLL)
        hidden_TBNR, context_TBNU, weights_TBHNS = found
        hidden_BTL = self._output(hidden_TBNR[:, :, 0].swapaxes(0, 1), x_BTD, context_TBNU[:, :, 0].swapaxes(0, 1))
        return Decoded(
            drop(hidden_BTL, at_site(dropout, 2), "sublayer"),
            {"cross/0": jnp.moveaxis(weights_TBHNS[:, :, :, 0], 0, 2)},
        )

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Linear layer before the softmax, [..., L] to float32 [..., V]."""
        return self.output.logits(hidden_D)

    def start(self, memory: Memory, beams: int, max_length: int, frugal: bool = False) -> DecodeState:
        """Projects the annotations, and makes the decoder's first state."""
        del max_length, frugal
        return DecodeState(fixed=self._keys(memory), carry=self._first(memory, beams))

    def step(self, state: DecodeState, token_BN: jax.Array, position: jax.Array) -> tuple[jax.Array, DecodeState]:
        """One token a hypothesis; see `interface.Seq2Seq`."""
        del position
        x_BND, keys = self.embed_target(token_BN), state.fixed
        weights = self._weights(keys)
        carry, context_BNU, _ = self._advance(
            lambda name, fed: fed @ weights[name], keys, state.carry, self.token_to_gates(x_BND)
        )
        return self.logits(self._output(carry.hidden, x_BND, context_BNU)), state._replace(carry=carry)

    def _keys(self, memory: Memory) -> _Keys:
        return _Keys(self.to_key(memory.states_BSD)[:, :, None], memory.states_BSD, memory.mask_BS)

    def _first(self, memory: Memory, beams: int) -> Any:
        """s_0 = tanh(W_s ←h_1), Section A.2.2, for each hypothesis."""
        hidden_BR = jnp.tanh(self.to_first(memory.summary))
        carry = self.cell.start((hidden_BR.shape[0], beams))
        return carry._replace(hidden=jnp.broadcast_to(hidden_BR[:, None], carry.hidden.shape))

    def _weights(self, keys: _Keys) -> recurrence.Arrays:
        """What a step multiplies by; the annotations are weights to the weights of attention."""
        dtype = self.cell.dtype
        return {
            "query": self.to_query.kernel[...].astype(dtype),
            "annotations": keys.annotation_BSU,
            "context": self.context_to_gates.kernel[...].astype(dtype),
            "recurrent": self.cell.recurrent_RG[...].astype(dtype),
        }

    def _advance(
        self, product: recurrence.Product, keys: _Keys, carry: Any, gates_BNG: jax.Array
    ) -> tuple[Any, jax.Array, jax.Array]:
        """Looks with the state before, then steps; returns the new state, context_BNU and weights_BHNS, one head."""
        query_BNHK = product("query", carry.hidden)[:, :, None]
        scores_BHNS = self.attention.scores(query_BNHK, keys.key_BSHK)
        weights_BHNS = self.attention.weigh(scores_BHNS, masks.padding(keys.mask_BS))
        context_BNU = product("annotations", weights_BHNS[:, 0].astype(keys.annotation_BSU.dtype))
        gates_BNG = gates_BNG + product("context", context_BNU)
        carry = self.cell(gates_BNG, lambda hidden: product("recurrent", hidden), carry)
        return carry, context_BNU, weights_BHNS

    def _output(self, hidden: jax.Array, token: jax.Array, context: jax.Array) -> jax.Array:
        """The deep output with a single maxout hidden layer; Section A.2.2."""
        return maxout(self.state_to_output(hidden) + self.token_to_output(token) + self.context_to_output(context))
