"""Search for the outputs of a model: the one entry, whatever the method; Section 6.1 of Vaswani et al. 2017."""

import jax

from transformer.decoding.beam import beam_search
from transformer.decoding.hypotheses import LOWEST, Found
from transformer.decoding.stepwise import greedy_search, sample
from transformer.models.interface import Seq2Seq
from transformer.spec import DecodeSpec

__all__ = ["LOWEST", "Found", "search"]


def search(model: Seq2Seq, source_BS: jax.Array, spec: DecodeSpec, key: jax.Array | None = None) -> Found:
    """Translates a batch of source sentences with `spec.method`; pure, to be called inside `jax.jit`.

    What is found for a sentence depends on the sentence, the settings and the key alone: not on padding, on the other
    rows, or on its place among them. An output has at most as many tokens as its source (neither counts EOS) plus
    `spec.max_extra_length`; where it gets that far, EOS is the only choice for the next token. So every output ends
    with EOS, and its score is the log-probability that the model gives to just these tokens, never renormalised.

    Args:
      model: encodes once and steps from token to token.
      source_BS: int32; sentences end with EOS and are padded with PAD; rows of PAD alone cost nothing.
      spec: `method` is "beam", "greedy" or "sample".
      key: of "sample"; `spec.seed` makes one where none is given.
    """
    if spec.method == "sample":
        return sample(model, source_BS, spec, jax.random.key(spec.seed) if key is None else key)
    return {"beam": beam_search, "greedy": greedy_search}[spec.method](model, source_BS, spec)
