"""Search for the outputs of a model: one entry point for all methods; Section 6.1 of Vaswani et al. 2017."""

import dataclasses

import jax

from transformer.decoding.beam import beam_search
from transformer.decoding.hypotheses import LOWEST, SearchResult
from transformer.decoding.sampling import greedy_search, sample
from transformer.decoding.search_loop import SearchLoop, run_queue
from transformer.models.interface import Seq2Seq
from transformer.spec import DecodeSpec

__all__ = ["LOWEST", "SearchResult", "TracedDecodeSpec", "build_loop", "search"]


@dataclasses.dataclass(frozen=True)
class TracedDecodeSpec(DecodeSpec):
    """Settings whose `temperature`, `length_penalty` and, below 1, `top_p` may be arrays in a compiled program.

    One program then serves every value. `temperature` and `top_p` may have one value per sentence, [B, 1]. Nothing is
    validated: the value of an array is not known during tracing.
    """

    def __post_init__(self) -> None:
        pass


def search(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    key: jax.Array | None = None,
    steps: int | None = None,
    prefix_BT: jax.Array | None = None,
    rows: int | None = None,
) -> SearchResult:
    """Translates a batch of source sentences with `spec.method`; pure, to be called inside `jax.jit`.

    The result for a sentence depends only on the sentence, the settings and the key: not on padding, on other rows, or
    on its position in the batch. An output has at most as many tokens as its source (neither counts EOS) plus
    `spec.max_extra_length`; at that length EOS is the only allowed token. So every output ends with EOS, and its score
    is the log-probability that the model assigns to exactly these tokens, never renormalised. A hypothesis with NaN
    logits has score LOWEST and no tokens.

    Args:
      model: encodes once and decodes step by step.
      source_BS: int32; sentences end with EOS and are padded with PAD; rows of only PAD cost nothing.
      spec: `method` is "beam", "greedy" or "sample".
      key: random key of "sample", one or, without `rows`, [B]; default: made from `spec.seed`.
      steps: maximum number of steps, if below the limit. Sentences that need more have score LOWEST.
      prefix_BT: int32, tokens with which the output of each row begins, padded with PAD; the search continues after
        them. They count in the score, and in addition to the limits of length. Default: none.
      rows: number of sentences that are searched at a time, see `search_loop.run_queue`; not for settings with one
        value per sentence. Default: all.
    """

    def build(source_BS: jax.Array, *prefix: jax.Array) -> SearchLoop:
        return build_loop(model, source_BS, spec, key, steps, *prefix)

    return run_queue(build, source_BS, rows or len(source_BS), *([] if prefix_BT is None else [prefix_BT]))


def build_loop(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    key: jax.Array | None = None,
    steps: int | None = None,
    prefix_BT: jax.Array | None = None,
) -> SearchLoop:
    """Builds the same search for `search_loop.start` and `search_loop.resume`, which can pause it."""
    if spec.method == "sample":
        return sample(model, source_BS, spec, jax.random.key(spec.seed) if key is None else key, steps, prefix_BT)
    return {"beam": beam_search, "greedy": greedy_search}[spec.method](model, source_BS, spec, steps, prefix_BT)
