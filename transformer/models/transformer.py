"""The Transformer of Vaswani et al. 2017, in the order of Section 3."""

import dataclasses
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.attention import MultiHeadAttention
from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.kv_cache import HeadMajorKV, KeyValue, KVCache
from transformer.layers.sublayer import Sublayer
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.models.layer_stack import LayerList, LayerScan
from transformer.ops import masks, segments
from transformer.ops.dropout import Dropout, drop, fold_in
from transformer.ops.masks import Mask
from transformer.ops.segments import Layout


@dataclasses.dataclass(frozen=True)
class Components:
    """Factories and functions of the model's components, chosen by `models/build.py`."""

    self_attention: Callable[[str, nnx.Rngs], MultiHeadAttention]  # (stack, rngs), stack "encoder" or "decoder"
    cross_attention: Callable[[nnx.Rngs], MultiHeadAttention]
    feed_forward: Callable[[nnx.Rngs], Callable[[jax.Array, Dropout | None], jax.Array]]
    sublayer: Callable[[str], Sublayer]  # (kind), "self_attention", "cross_attention" or "feed_forward"
    final_norm: Callable[[], Callable[[jax.Array], jax.Array]]
    positions: Callable[[str, nnx.Rngs], Callable[[jax.Array], jax.Array]]  # (stack, rngs)
    # Outputs of the encoder layers to the memory of each decoder layer, or to one for all.
    cross_memories: Callable[[list[jax.Array]], list[jax.Array]]
    target_mask: Callable[[jax.Array], jax.Array]  # target_BT to the mask of the decoder's self-attention
    layout: Callable[[jax.Array], Layout]  # starts_BT to positions and segments; `ops.segments`
    stack: Callable[[list[nnx.Module]], LayerList | LayerScan]
    encoder_layers: int
    decoder_layers: int


def last_encoder_layer(outputs: list[jax.Array]) -> list[jax.Array]:
    """Every decoder layer attends to the output of the last encoder layer; Section 3.1."""
    return outputs[-1:]


def each_encoder_layer(outputs: list[jax.Array]) -> list[jax.Array]:
    """Decoder layer i attends to the output of encoder layer i."""
    return outputs


class EncoderLayer(nnx.Module):
    """Self-attention, then a feed-forward network, each in a `Sublayer`; Section 3.1, Encoder."""

    def __init__(self, components: Components, rngs: nnx.Rngs) -> None:
        self.self_attention = components.self_attention("encoder", rngs)
        self.self_attention_sublayer = components.sublayer("self_attention")
        self.feed_forward = components.feed_forward(rngs)
        self.feed_forward_sublayer = components.sublayer("feed_forward")

    def __call__(self, x_BSD: jax.Array, mask: Mask, dropout: Dropout | None = None) -> tuple[jax.Array, jax.Array]:
        """Returns the new x_BSD and the attention weights_BHSS."""
        site_dropout = fold_in(dropout, 0)

        def attend(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.self_attention(x, self.self_attention.keys_values(x), mask, site_dropout)

        x_BSD, weights_BHSS = self.self_attention_sublayer(x_BSD, attend, site_dropout)
        site_dropout = fold_in(dropout, 1)
        x_BSD, _ = self.feed_forward_sublayer(x_BSD, lambda x: (self.feed_forward(x, site_dropout), None), site_dropout)
        return x_BSD, weights_BHSS


class DecoderLayer(nnx.Module):
    """Masked self-attention, attention to the encoder's output, a feed-forward network; Section 3.1, Decoder."""

    def __init__(self, components: Components, rngs: nnx.Rngs) -> None:
        self.self_attention = components.self_attention("decoder", rngs)
        self.self_attention_sublayer = components.sublayer("self_attention")
        self.cross_attention = components.cross_attention(rngs)
        self.cross_attention_sublayer = components.sublayer("cross_attention")
        self.feed_forward = components.feed_forward(rngs)
        self.feed_forward_sublayer = components.sublayer("feed_forward")

    def __call__(
        self, x_BTD: jax.Array, mask: Mask, memory: KeyValue, memory_mask: Mask, dropout: Dropout | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the new x_BTD, the self-attention weights_BHTT and the cross-attention weights_BHTS."""
        site_dropout = fold_in(dropout, 0)

        def attend(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.self_attention(x, self.self_attention.keys_values(x), mask, site_dropout)

        x_BTD, self_weights_BHTT = self.self_attention_sublayer(x_BTD, attend, site_dropout)
        x_BTD, cross_weights_BHTS = self._after_self_attention(x_BTD, memory, memory_mask, dropout)
        return x_BTD, self_weights_BHTT, cross_weights_BHTS

    def step(
        self,
        x_BND: jax.Array,
        cache: KVCache,
        position_B: jax.Array,
        mask: jax.Array,
        memory: HeadMajorKV,
        memory_mask: jax.Array,
    ) -> tuple[jax.Array, KVCache]:
        """Reads one token of each hypothesis; returns the new x_BND and the cache with this position written."""
        x_BND, cache = self.self_attention_sublayer(
            x_BND, lambda x: self.self_attention.step(x, cache, position_B, mask)
        )
        # Hypotheses of a sentence attend to its memory as if they were positions, so that the memory is not copied.
        x_BND, _ = self._after_self_attention(x_BND, memory.seq_major(), memory_mask)
        return x_BND, cache

    def _after_self_attention(
        self, x_BTD: jax.Array, memory: KeyValue, memory_mask: Mask, dropout: Dropout | None = None
    ) -> tuple[jax.Array, jax.Array]:
        cross_dropout, ffn_dropout = fold_in(dropout, 1), fold_in(dropout, 2)
        x_BTD, weights_BHTS = self.cross_attention_sublayer(
            x_BTD, lambda x: self.cross_attention(x, memory, memory_mask, cross_dropout), cross_dropout
        )
        x_BTD, _ = self.feed_forward_sublayer(x_BTD, lambda x: (self.feed_forward(x, ffn_dropout), None), ffn_dropout)
        return x_BTD, weights_BHTS


class Transformer(nnx.Module):
    """Encoder and decoder stacks between embeddings; Figure 1. Implements `interface.Seq2Seq`.

    Args:
      components: factories of the layers.
      embed_source, embed_target, output: three embeddings, or the same one three times (Section 3.4).
      rngs: initial parameters.
    """

    def __init__(
        self,
        components: Components,
        embed_source: Embedding,
        embed_target: Embedding,
        output: Embedding | BiasedOutput,
        rngs: nnx.Rngs,
    ) -> None:
        self.encoder_positions = components.positions("encoder", rngs)
        self.decoder_positions = components.positions("decoder", rngs)
        self.cross_memories = components.cross_memories
        self.target_mask = components.target_mask
        self.layout = components.layout
        self.embed_source = embed_source
        self.embed_target = embed_target
        self.output = output
        self.encoder = components.stack([EncoderLayer(components, rngs) for _ in range(components.encoder_layers)])
        self.encoder_norm = components.final_norm()
        self.decoder = components.stack([DecoderLayer(components, rngs) for _ in range(components.decoder_layers)])
        self.decoder_norm = components.final_norm()

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Encodes the source sentences; see `interface.Seq2Seq`."""
        mask_BS = masks.is_token(source_BS)
        position_S, segment_BS = self.layout(segments.source_starts(source_BS))
        mask = masks.with_segments(masks.padding(mask_BS), segment_BS, segment_BS)
        x_BSD = _embed(self.embed_source, self.encoder_positions, source_BS, position_S, fold_in(dropout, 0))

        def run_layer(
            layer: EncoderLayer, x_BSD: jax.Array, _: None, dropout: Dropout | None
        ) -> tuple[jax.Array, jax.Array]:
            return layer(x_BSD, mask, dropout)

        outputs, weights = self.encoder.run(run_layer, x_BSD, [None], dropout)
        attention = {f"encoder/{number}": weights_BHSS for number, weights_BHSS in enumerate(weights)}
        states_BSD = self.encoder_norm(outputs[-1])
        return Memory(states_BSD, mask_BS, attention, self.cross_memories([*outputs[:-1], states_BSD]), segment_BS)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Decodes the shifted target with teacher forcing; see `interface.Seq2Seq`."""
        dropout = fold_in(dropout, 1 + len(self.encoder))
        position_T, segment_BT = self.layout(segments.target_starts(target_BT))
        x_BTD = _embed(self.embed_target, self.decoder_positions, target_BT, position_T, fold_in(dropout, 0))
        mask = masks.with_segments(self.target_mask(target_BT), segment_BT, segment_BT)
        memory_mask = masks.with_segments(masks.padding(memory.mask_BS), segment_BT, memory.segment_BS)

        def run_layer(
            layer: DecoderLayer, x_BTD: jax.Array, states_BSD: jax.Array, dropout: Dropout | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            keys = layer.cross_attention.keys_values(states_BSD)
            x_BTD, self_weights_BHTT, cross_weights_BHTS = layer(x_BTD, mask, keys, memory_mask, dropout)
            return x_BTD, {"decoder": self_weights_BHTT, "cross": cross_weights_BHTS}

        outputs, weights = self.decoder.run(run_layer, x_BTD, memory.decoder_init, dropout)
        attention = {f"{kind}/{number}": w for number, kinds in enumerate(weights) for kind, w in kinds.items()}
        return Decoded(self.decoder_norm(outputs[-1]), attention)

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Computes logits, [..., D] to float32 [..., V]; Section 3.4."""
        return self.output.logits(hidden_D)

    def start(self, memory: Memory, beams: int, max_length: int) -> DecodeState:
        """Projects the memory for each decoder layer and makes empty caches of `max_length` positions."""
        batch, dtype = memory.states_BSD.shape[0], memory.states_BSD.dtype
        # Raises for a search that is longer than learned positions; its steps see only one position each.
        jax.eval_shape(self.decoder_positions, jax.ShapeDtypeStruct((max_length,), jnp.int32))
        keys = [
            layer.cross_attention.keys_values(states_BSD).head_major()
            for layer, states_BSD in zip(self.decoder, itertools.cycle(memory.decoder_init), strict=False)
        ]
        caches = [layer.self_attention.init_cache(batch, beams, max_length, dtype) for layer in self.decoder]
        slot_BNT = jnp.zeros((batch, beams, max_length), jnp.int32)
        return DecodeState(encoder_side=(keys, memory.mask_BS), per_beam=slot_BNT, cache=caches)

    def step(self, state: DecodeState, token_BN: jax.Array, position_B: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Reads one token of each hypothesis; see `interface.Seq2Seq`."""
        keys, mask_BS = state.encoder_side
        encoding_BD = jax.vmap(lambda position: self.decoder_positions(position[None])[0])(position_B)
        x_BND = self.embed_target(token_BN)
        x_BND += encoding_BD[:, None].astype(x_BND.dtype)
        new_BT = masks.at_position(position_B, state.per_beam.shape[-1])
        slot_BNT = jnp.where(new_BT[:, None], jnp.arange(token_BN.shape[1])[None, :, None], state.per_beam)
        mask, caches = masks.beam_history(slot_BNT, position_B), []
        for layer, cache, memory in zip(self.decoder, state.cache, keys, strict=True):
            x_BND, cache = layer.step(x_BND, cache, position_B, mask, memory, masks.padding(mask_BS))
            caches.append(cache)
        return self.logits(self.decoder_norm(x_BND)), state._replace(per_beam=slot_BNT, cache=caches)


def _embed(
    embedding: Embedding,
    positions: Callable[[jax.Array], jax.Array],
    token_BT: jax.Array,
    position_T: jax.Array,
    dropout: Dropout | None = None,
) -> jax.Array:
    """Embeds tokens, adds positions and applies dropout to the sum; Sections 3.5, 5.4. Positions are [T] or [B, T]."""
    x_BTD = drop(embedding(token_BT), dropout, "word")
    if position_T.ndim == 1:
        encoding = positions(position_T)[None]
    else:  # look up in a table of all T positions: computing B · T positions takes longer
        encoding = positions(jnp.arange(token_BT.shape[1]))[position_T]
    return drop(x_BTD + encoding.astype(x_BTD.dtype), dropout, "embedding")
