"""*Sequence to Sequence Learning with Neural Networks*, Sutskever, Vinyals & Le 2014: one vector per sentence."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.recurrent import Recurrent
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.ops import masks
from transformer.ops.dropout import Dropout, drop, drop_embeddings, fold_in


def reverse(source_BS: jax.Array) -> jax.Array:
    """Reverses each sentence and leaves its padding at the end; Section 3.3.

    Departs: EOS is reversed too, so that the encoder reads the first word last.
    """
    length_B1 = jnp.sum(masks.is_token(source_BS), axis=1, keepdims=True)
    position_1S = jnp.arange(source_BS.shape[1])[None]
    return jnp.take_along_axis(
        source_BS, jnp.where(position_1S < length_B1, length_B1 - 1 - position_1S, position_1S), axis=1
    )


class SequenceToSequence(nnx.Module):
    """A deep recurrent encoder whose final states are the initial states of a deep recurrent decoder; Section 2.

    Implements `interface.Seq2Seq`.

    Departs: adds dropout between layers, but not between time steps (Zaremba et al. 2014); the paper has none.

    Args:
      encoder, decoder: layers from the embeddings upwards; both stacks have the same number and width.
      source_order: applied to the source first: `reverse` or the identity.
      embed_source, embed_target, output: three embeddings, or the same one three times.
    """

    def __init__(
        self,
        encoder: list[Recurrent],
        decoder: list[Recurrent],
        source_order: Any,
        embed_source: Embedding,
        embed_target: Embedding,
        output: Embedding | BiasedOutput,
    ) -> None:
        self.encoder = nnx.List(encoder)
        self.decoder = nnx.List(decoder)
        self.source_order = source_order
        self.embed_source = embed_source
        self.embed_target = embed_target
        self.output = output

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Encodes the source sentences; see `interface.Seq2Seq`."""
        source_BS = self.source_order(source_BS)
        mask_BS = masks.is_token(source_BS)
        initial_carries = [layer.cell.initial_carry(source_BS.shape[:1]) for layer in self.encoder]
        x_BSR, carries = _stack(self.encoder, self.embed_source(source_BS), mask_BS, initial_carries, dropout)
        return Memory(x_BSR, mask_BS, {}, decoder_init=carries)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Decodes the shifted target with teacher forcing; see `interface.Seq2Seq`."""
        dropout = fold_in(dropout, 1 + len(self.encoder))
        # Nothing reads the positions after a sentence's end, so they need no mask.
        mask_BT = jnp.ones(target_BT.shape, bool)
        x_BTR, _ = _stack(self.decoder, self.embed_target(target_BT), mask_BT, memory.decoder_init, dropout)
        return Decoded(x_BTR, {})

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Computes logits, [..., R] to float32 [..., V]."""
        return self.output.logits(hidden_D)

    def start(self, memory: Memory, beams: int, max_length: int) -> DecodeState:
        """Returns the encoder's final states, repeated for each hypothesis."""
        del max_length  # the size of a recurrent state does not depend on it

        def repeated(leaf: jax.Array) -> jax.Array:
            return jnp.broadcast_to(leaf[:, None], (leaf.shape[0], beams, *leaf.shape[1:]))

        return DecodeState(encoder_side=(), per_beam=jax.tree.map(repeated, memory.decoder_init))

    def step(self, state: DecodeState, token_BN: jax.Array, position_B: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Reads one token of each hypothesis; see `interface.Seq2Seq`."""
        del position_B
        x_BND, carries = self.embed_target(token_BN), []
        for layer, carry in zip(self.decoder, state.per_beam, strict=True):
            carries.append(layer.step(x_BND, carry))
            x_BND = carries[-1].hidden
        return self.logits(x_BND), state._replace(per_beam=carries)


def _stack(
    layers: Any, x_BTD: jax.Array, mask_BT: jax.Array, carries: list[Any], dropout: Dropout | None
) -> tuple[jax.Array, list[Any]]:
    """Runs a stack of layers; returns the output of the last layer and the final carry of each."""
    x_BTD, final_carries = drop_embeddings(x_BTD, dropout), []
    for number, (layer, carry) in enumerate(zip(layers, carries, strict=True)):
        x_BTD, carry = layer(x_BTD, mask_BT, carry)
        x_BTD = drop(x_BTD, fold_in(dropout, 1 + number), "sublayer")
        final_carries.append(carry)
    return x_BTD, final_carries
