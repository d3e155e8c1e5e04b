"""*Sequence to Sequence Learning with Neural Networks*, Sutskever, Vinyals & Le 2014: one vector for a sentence."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.recurrent import Recurrent
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.ops import masks
from transformer.ops.dropout import Dropout, at_site, drop, drop_embedded


def reverse(source_BS: jax.Array) -> jax.Array:
    """Each sentence back to front, its padding still behind it; Section 3.3.

    Departs: EOS is reversed with the words, so that the first word is the last that is read.
    """
    length_B1 = jnp.sum(masks.is_token(source_BS), axis=1, keepdims=True)
    position_1S = jnp.arange(source_BS.shape[1])[None]
    return jnp.take_along_axis(
        source_BS, jnp.where(position_1S < length_B1, length_B1 - 1 - position_1S, position_1S), axis=1
    )


class SequenceToSequence(nnx.Module):
    """A deep recurrent encoder whose last states are the first states of a deep recurrent decoder; Section 2.

    Implements `interface.Seq2Seq`.

    Departs: dropout, which the paper does not have, between layers and never from step to step (Zaremba et al. 2014).

    Args:
      encoder, decoder: layers, the first one reads embeddings; of one width and number.
      order: what is done with the source first: `reverse`, or nothing.
      embed_source, embed_target, output: three embeddings, or one object three times.
    """

    def __init__(
        self,
        encoder: list[Recurrent],
        decoder: list[Recurrent],
        order: Any,
        embed_source: Embedding,
        embed_target: Embedding,
        output: Embedding | BiasedOutput,
    ) -> None:
        self.encoder = nnx.List(encoder)
        self.decoder = nnx.List(decoder)
        self.order = order
        self.embed_source = embed_source
        self.embed_target = embed_target
        self.output = output

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Reads the source sentences; see `interface.Seq2Seq`."""
        source_BS = self.order(source_BS)
        mask_BS = masks.is_token(source_BS)
        starts = [layer.cell.start(source_BS.shape[:1]) for layer in self.encoder]
        x_BSR, carries = _stack(self.encoder, self.embed_source(source_BS), mask_BS, starts, dropout)
        return Memory(x_BSR, mask_BS, {}, summary=carries)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Reads the shifted target all at once; see `interface.Seq2Seq`."""
        dropout = at_site(dropout, 1 + len(self.encoder))
        # What follows a sentence's end is never looked at: no mask is needed.
        mask_BT = jnp.ones(target_BT.shape, bool)
        x_BTR, _ = _stack(self.decoder, self.embed_target(target_BT), mask_BT, memory.summary, dropout)
        return Decoded(x_BTR, {})

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Linear layer before the softmax, [..., R] to float32 [..., V]."""
        return self.output.logits(hidden_D)

    def start(self, memory: Memory, beams: int, max_length: int, frugal: bool = False) -> DecodeState:
        """The encoder's last states, for each hypothesis."""
        del max_length, frugal  # an LSTM's memory does not grow

        def repeated(leaf: jax.Array) -> jax.Array:
            return jnp.broadcast_to(leaf[:, None], (leaf.shape[0], beams, *leaf.shape[1:]))

        return DecodeState(fixed=(), carry=jax.tree.map(repeated, memory.summary))

    def step(self, state: DecodeState, token_BN: jax.Array, position: jax.Array) -> tuple[jax.Array, DecodeState]:
        """One token a hypothesis; see `interface.Seq2Seq`."""
        del position
        x_BND, carries = self.embed_target(token_BN), []
        for layer, carry in zip(self.decoder, state.carry, strict=True):
            carries.append(layer.step(x_BND, carry))
            x_BND = carries[-1].hidden
        return self.logits(x_BND), state._replace(carry=carries)


def _stack(
    layers: Any, x_BTD: jax.Array, mask_BT: jax.Array, carries: list[Any], dropout: Dropout | None
) -> tuple[jax.Array, list[Any]]:
    """Runs layers one on top of the other; returns the top one's output and the last carry of each."""
    x_BTD, last = drop_embedded(x_BTD, dropout), []
    for number, (layer, carry) in enumerate(zip(layers, carries, strict=True)):
        x_BTD, carry = layer(x_BTD, mask_BT, carry)
        x_BTD = drop(x_BTD, at_site(dropout, 1 + number), "sublayer")
        last.append(carry)
    return x_BTD, last
