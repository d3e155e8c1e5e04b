"""The Transformer of Vaswani et al. 2017, in the reading order of its Section 3."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.attention import ByHead, Cache, KeyValue, MultiHeadAttention
from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.sublayer import Sublayer
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.ops import masks, segments
from transformer.ops.dropout import Dropout, at_site, drop
from transformer.ops.masks import Mask
from transformer.ops.segments import Places


@dataclasses.dataclass(frozen=True)
class Parts:
    """How to make each part: what `models/build.py` decides once and the model only uses."""

    self_attention: Callable[[str, nnx.Rngs], MultiHeadAttention]  # of "encoder" or "decoder"
    cross_attention: Callable[[nnx.Rngs], MultiHeadAttention]
    feed_forward: Callable[[nnx.Rngs], Callable[[jax.Array, Dropout | None], jax.Array]]
    sublayer: Callable[[str], Sublayer]  # around "self_attention", "cross_attention" or "feed_forward"
    final_norm: Callable[[], Callable[[jax.Array], jax.Array]]
    positions: Callable[[str, nnx.Rngs], Callable[[jax.Array], jax.Array]]  # of "encoder" or "decoder"
    memories: Callable[
        [list[jax.Array]], list[jax.Array]
    ]  # every encoder layer's output → what each decoder layer reads
    target_mask: Callable[[jax.Array], jax.Array]  # target_BT → which of its positions see which
    places: Callable[[jax.Array], Places]  # begins_BT → where tokens stand: `ops.rows`
    encoder_layers: int
    decoder_layers: int


@dataclasses.dataclass(frozen=True)
class LastLayer:
    """Every decoder layer reads what the last encoder layer puts out; Section 3.1.

    Attributes:
      readers: decoder layers.
    """

    readers: int

    def __call__(self, outputs: list[jax.Array]) -> list[jax.Array]:
        """Of all encoder layers' outputs, what each decoder layer reads."""
        return outputs[-1:] * self.readers


def each_layer(outputs: list[jax.Array]) -> list[jax.Array]:
    """Decoder layer i reads what encoder layer i puts out."""
    return outputs


class EncoderLayer(nnx.Module):
    """Self-attention, then a feed-forward network, each in a `Sublayer`; Section 3.1, Encoder."""

    def __init__(self, parts: Parts, rngs: nnx.Rngs) -> None:
        self.self_attention = parts.self_attention("encoder", rngs)
        self.self_attention_sublayer = parts.sublayer("self_attention")
        self.feed_forward = parts.feed_forward(rngs)
        self.feed_forward_sublayer = parts.sublayer("feed_forward")

    def __call__(self, x_BSD: jax.Array, mask: Mask, dropout: Dropout | None = None) -> tuple[jax.Array, jax.Array]:
        """Returns the new x_BSD and the attention weights_BHSS."""
        site = at_site(dropout, 0)

        def attend(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.self_attention(x, self.self_attention.keys_values(x), mask, site)

        x_BSD, weights_BHSS = self.self_attention_sublayer(x_BSD, attend, site)
        site = at_site(dropout, 1)
        x_BSD, _ = self.feed_forward_sublayer(x_BSD, lambda x: (self.feed_forward(x, site), None), site)
        return x_BSD, weights_BHSS


class DecoderLayer(nnx.Module):
    """Masked self-attention, attention to the encoder's output, a feed-forward network; Section 3.1, Decoder."""

    def __init__(self, parts: Parts, rngs: nnx.Rngs) -> None:
        self.self_attention = parts.self_attention("decoder", rngs)
        self.self_attention_sublayer = parts.sublayer("self_attention")
        self.cross_attention = parts.cross_attention(rngs)
        self.cross_attention_sublayer = parts.sublayer("cross_attention")
        self.feed_forward = parts.feed_forward(rngs)
        self.feed_forward_sublayer = parts.sublayer("feed_forward")

    def __call__(
        self,
        x_BTD: jax.Array,
        mask: Mask,
        memory: KeyValue,
        memory_mask: Mask,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the new x_BTD, the self-attention weights_BHTT and the cross-attention weights_BHTS."""
        site = at_site(dropout, 0)

        def attend(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.self_attention(x, self.self_attention.keys_values(x), mask, site)

        x_BTD, self_weights_BHTT = self.self_attention_sublayer(x_BTD, attend, site)
        x_BTD, cross_weights_BHTS = self._after_self_attention(x_BTD, memory, memory_mask, dropout)
        return x_BTD, self_weights_BHTT, cross_weights_BHTS

    def step(
        self,
        x_BND: jax.Array,
        cache: Cache,
        position: jax.Array,
        mask: jax.Array,
        memory: ByHead,
        memory_mask: jax.Array,
    ) -> tuple[jax.Array, Cache]:
        """One token a hypothesis: returns the new x_BND and the cache with this position written."""
        x_BND, cache = self.self_attention_sublayer(x_BND, lambda x: self.self_attention.step(x, cache, position, mask))
        # Hypotheses of a sentence attend to its memory side by side, as if they were positions: it is never copied.
        x_BND, _ = self._after_self_attention(x_BND, memory.turned(), memory_mask)
        return x_BND, cache

    def _after_self_attention(
        self, x_BTD: jax.Array, memory: KeyValue, memory_mask: Mask, dropout: Dropout | None = None
    ) -> tuple[jax.Array, jax.Array]:
        cross, inner = at_site(dropout, 1), at_site(dropout, 2)
        x_BTD, weights_BHTS = self.cross_attention_sublayer(
            x_BTD, lambda x: self.cross_attention(x, memory, memory_mask, cross), cross
        )
        x_BTD, _ = self.feed_forward_sublayer(x_BTD, lambda x: (self.feed_forward(x, inner), None), inner)
        return x_BTD, weights_BHTS


class Transformer(nnx.Module):
    """Encoder and decoder stacks between embeddings; Figure 1. Implements `interface.Seq2Seq`.

    Args:
      parts: how to make each part.
      embed_source, embed_target, output: three embeddings, or one object three times (Section 3.4).
      rngs: initial parameters.
    """

    def __init__(
        self,
        parts: Parts,
        embed_source: Embedding,
        embed_target: Embedding,
        output: Embedding | BiasedOutput,
        rngs: nnx.Rngs,
    ) -> None:
        self.encoder_positions = parts.positions("encoder", rngs)
        self.decoder_positions = parts.positions("decoder", rngs)
        self.memories = parts.memories
        self.target_mask = parts.target_mask
        self.places = parts.places
        self.embed_source = embed_source
        self.embed_target = embed_target
        self.output = output
        self.encoder = nnx.List([EncoderLayer(parts, rngs) for _ in range(parts.encoder_layers)])
        self.encoder_norm = parts.final_norm()
        self.decoder = nnx.List([DecoderLayer(parts, rngs) for _ in range(parts.decoder_layers)])
        self.decoder_norm = parts.final_norm()

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Reads the source sentences; see `interface.Seq2Seq`."""
        mask_BS = masks.is_token(source_BS)
        position_S, segment_BS = self.places(segments.source_begins(source_BS))
        mask = masks.within(masks.padding(mask_BS), segment_BS, segment_BS)
        x_BSD = _embed(self.embed_source, self.encoder_positions, source_BS, position_S, at_site(dropout, 0))
        attention, outputs = {}, []
        for number, layer in enumerate(self.encoder):
            x_BSD, attention[f"encoder/{number}"] = layer(x_BSD, mask, at_site(dropout, 1 + number))
            outputs.append(x_BSD)
        states_BSD = self.encoder_norm(x_BSD)
        return Memory(states_BSD, mask_BS, attention, self.memories([*outputs[:-1], states_BSD]), segment_BS)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Reads the shifted target all at once; see `interface.Seq2Seq`."""
        dropout = at_site(dropout, 1 + len(self.encoder))
        position_T, segment_BT = self.places(segments.target_begins(target_BT))
        x_BTD = _embed(self.embed_target, self.decoder_positions, target_BT, position_T, at_site(dropout, 0))
        mask = masks.within(self.target_mask(target_BT), segment_BT, segment_BT)
        memory_mask = masks.within(masks.padding(memory.mask_BS), segment_BT, memory.segment_BS)
        attention = {}
        for number, (layer, states_BSD) in enumerate(zip(self.decoder, memory.summary, strict=True)):
            keys = layer.cross_attention.keys_values(states_BSD)
            x_BTD, attention[f"decoder/{number}"], attention[f"cross/{number}"] = layer(
                x_BTD, mask, keys, memory_mask, at_site(dropout, 1 + number)
            )
        return Decoded(self.decoder_norm(x_BTD), attention)

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Linear layer before the softmax, [..., D] to float32 [..., V]; Section 3.4."""
        return self.output.logits(hidden_D)

    def start(self, memory: Memory, beams: int, max_length: int, frugal: bool = False) -> DecodeState:
        """Projects the memory for each decoder layer, and makes empty caches of `max_length` positions."""
        rows, dtype = memory.states_BSD.shape[0], memory.states_BSD.dtype
        # Steps come one by one: here is where a search longer than there are positions is found.
        jax.eval_shape(self.decoder_positions, jax.ShapeDtypeStruct((max_length,), jnp.int32))
        keys = [
            layer.cross_attention.keys_values(states_BSD).by_head()
            for layer, states_BSD in zip(self.decoder, memory.summary, strict=True)
        ]
        caches = [layer.self_attention.empty(rows, beams, max_length, dtype, frugal) for layer in self.decoder]
        slot_BNT = jnp.zeros((rows, beams, max_length), jnp.int32)
        return DecodeState(fixed=(keys, memory.mask_BS), carry=slot_BNT, written=caches)

    def step(self, state: DecodeState, token_BN: jax.Array, position: jax.Array) -> tuple[jax.Array, DecodeState]:
        """One token a hypothesis; see `interface.Seq2Seq`."""
        keys, mask_BS = state.fixed
        beams = token_BN.shape[1]
        x_BND = _embed(self.embed_target, self.decoder_positions, token_BN, position[None])  # the same for all
        slot_BNT = state.carry.at[:, :, position].set(jnp.arange(beams)[None])
        mask, caches = masks.ancestors(slot_BNT, position), []
        for layer, cache, memory in zip(self.decoder, state.written, keys, strict=True):
            x_BND, cache = layer.step(x_BND, cache, position, mask, memory, masks.padding(mask_BS))
            caches.append(cache)
        return self.logits(self.decoder_norm(x_BND)), state._replace(carry=slot_BNT, written=caches)


def _embed(
    embedding: Embedding,
    positions: Callable[[jax.Array], jax.Array],
    token_BT: jax.Array,
    position_T: jax.Array,
    dropout: Dropout | None = None,
) -> jax.Array:
    """Embeddings plus positions, and dropout on the sum; Sections 3.5, 5.4. Positions may be [B, T]."""
    x_BTD = drop(embedding(token_BT), dropout, "word")
    if position_T.ndim == 1:
        added = positions(position_T)[None]
    else:  # from a table, for there are more of them than different ones
        added = positions(jnp.arange(token_BT.shape[1]))[position_T]
    return drop(x_BTD + added.astype(x_BTD.dtype), dropout, "embedding")
