"""What training, search, evaluation and analysis know of a model: `Seq2Seq`.

One alphabet names the axes: B batch, S source, T target, D model, H heads, V vocabulary, N beam, and in recurrent
models R hidden state. Arrays of other sizes have words, not letters.
"""

from typing import Any, NamedTuple, Protocol

import jax

from transformer.ops.dropout import Dropout


class Memory(NamedTuple):
    """What the encoder tells the decoder of a batch of source sentences."""

    states_BSD: jax.Array  # one vector a source token
    mask_BS: jax.Array  # bool, True at real tokens
    attention: dict[str, jax.Array]  # attention weights by name, such as "encoder/0": weights_BHSS; may be empty
    summary: Any = ()  # what else the decoder starts from, such as a recurrent encoder's last state; leaves [B, ...]
    segment_BS: jax.Array | None = None  # which of its row's sentences a token is of, where rows may hold several


class Decoded(NamedTuple):
    """A teacher-forced pass of the decoder."""

    hidden_BTD: jax.Array  # the vectors from which `logits` predicts the next token
    attention: dict[str, jax.Array]  # such as "cross/0": weights_BHTS and "decoder/0": weights_BHTT; may be empty


class DecodeState(NamedTuple):
    """Where a search stands. The search sees trees of arrays, a KV cache or a recurrent carry alike."""

    fixed: Any  # leaves [B, ...]: per source sentence, shared by its beams, the same at each step
    carry: Any  # leaves [B, N, ...]: per hypothesis, reordered when the search picks parents
    written: Any = ()  # leaves [B, ...]: per source sentence, changed by steps, never reordered


class Seq2Seq(Protocol):
    """An encoder-decoder. Methods are pure: the same arguments give the same arrays.

    `dropout=None` means evaluation. Token ids are int32, padding is `spec.PAD`, source sentences end with `spec.EOS`,
    decoder inputs begin with `spec.BOS`. A result never depends on how much padding surrounds a sentence.
    """

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Reads the source sentences."""
        ...

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Reads the (shifted) target all at once; position t sees positions up to t only."""
        ...

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Scores of the next token, float32: [..., D] to [..., V]."""
        ...

    def start(self, memory: Memory, beams: int, max_length: int, frugal: bool = False) -> DecodeState:
        """The state before the first step of a search with `beams` hypotheses and at most `max_length` steps.

        `frugal` steps read no more than is written, at the price of asking how much that is, and may keep float32 where
        the model's numbers are shorter: good for a CPU.
        """
        ...

    def step(self, state: DecodeState, token_BN: jax.Array, position: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Feeds one token to each hypothesis; returns logits_BNV, float32, and the next state.

        `position` is the int32 number of the step, 0 for the one that is fed `spec.BOS`. `step` after `step` gives the
        logits that `decode` gives at once.
        """
        ...
