"""`Seq2Seq`, the interface of a model for training, search, evaluation and analysis.

One alphabet names the axes: B batch, S source, T target, D model, H heads, V vocabulary, N beam, and in recurrent
models R hidden state. Axes of other sizes are named by words.
"""

from typing import Any, NamedTuple, Protocol

import jax

from transformer.ops.dropout import Dropout


class Memory(NamedTuple):
    """Output of the encoder for a batch of source sentences."""

    states_BSD: jax.Array  # one vector per source token
    mask_BS: jax.Array  # bool, True at real tokens
    attention: dict[str, jax.Array]  # attention weights by name, such as "encoder/0": weights_BHSS; may be empty
    decoder_init: Any = ()  # other inputs of the decoder, such as a recurrent encoder's final state; leaves [B, ...]
    segment_BS: jax.Array | None = None  # sentence of each token within its row; None: one sentence per row


class Decoded(NamedTuple):
    """Output of a teacher-forced pass of the decoder."""

    hidden_BTD: jax.Array  # inputs of `logits`
    attention: dict[str, jax.Array]  # such as "cross/0": weights_BHTS and "decoder/0": weights_BHTT; may be empty


class DecodeState(NamedTuple):
    """State of a search: pytrees of arrays, such as a KV cache or a recurrent carry."""

    encoder_side: Any  # leaves [B, ...]: per source sentence, shared by its beams, constant
    per_beam: Any  # leaves [B, N, ...]: per hypothesis, reordered when the search selects parents
    cache: Any = ()  # leaves [B, ...]: per source sentence, updated by steps, never reordered


class Seq2Seq(Protocol):
    """An encoder-decoder model. Methods are pure functions.

    `dropout=None` means evaluation. Token ids are int32, padding is `spec.PAD`, source sentences end with `spec.EOS`,
    decoder inputs start with `spec.BOS`. Results do not depend on the amount of padding.
    """

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Encodes the source sentences."""
        ...

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Decodes the shifted target with teacher forcing; position t sees positions up to t only."""
        ...

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Computes logits of the next token, [..., D] to float32 [..., V]."""
        ...

    def start(self, memory: Memory, beams: int, max_length: int) -> DecodeState:
        """The state before the first step of a search with `beams` hypotheses and at most `max_length` steps."""
        ...

    def step(self, state: DecodeState, token_BN: jax.Array, position_B: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Reads one token of each hypothesis; returns float32 logits_BNV and the next state.

        `position_B` is the int32 number of the step of each sentence, 0 for the token `spec.BOS`: sentences of a batch
        may have started at different times. Successive steps return the logits of `decode`.
        """
        ...
