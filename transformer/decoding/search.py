"""Search for the outputs of a model: the one entry, whatever the method; Section 6.1 of Vaswani et al. 2017."""

import dataclasses

import jax

from transformer.decoding.beam import beam_search
from transformer.decoding.hypotheses import LOWEST, Found
from transformer.decoding.sampling import greedy_search, sample
from transformer.decoding.search_loop import Stages, run
from transformer.models.interface import Seq2Seq
from transformer.spec import DecodeSpec

__all__ = ["LOWEST", "Found", "Traced", "search", "stages"]


@dataclasses.dataclass(frozen=True)
class Traced(DecodeSpec):
    """Settings whose `temperature`, `length_penalty` and, below 1, `top_p` may be arrays in a program.

    One program then serves every value. Of `temperature` and `top_p` there may be one for each sentence, [B, 1].
    Nothing is checked here: an array's value is not known while the program is made.
    """

    def __post_init__(self) -> None:
        pass


def search(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    key: jax.Array | None = None,
    frugal: bool = False,
    steps: int | None = None,
    halvings: int = 0,
) -> Found:
    """Translates a batch of source sentences with `spec.method`; pure, to be called inside `jax.jit`.

    What is found for a sentence depends on the sentence, the settings and the key alone: not on padding, on the other
    rows, or on its place among them. An output has at most as many tokens as its source (neither counts EOS) plus
    `spec.max_extra_length`; where it gets that far, EOS is the only choice for the next token. So every output ends
    with EOS, and its score is the log-probability that the model gives to just these tokens, never renormalised.

    Args:
      model: encodes once and steps from token to token.
      source_BS: int32; sentences end with EOS and are padded with PAD; rows of PAD alone cost nothing.
      spec: `method` is "beam", "greedy" or "sample".
      key: of "sample", one or [B]; `spec.seed` makes one where none is given.
      frugal: whether steps read no more of caches than is written, for which they have to ask. Good for a CPU, where
        what is read takes time. They may keep float32 where the model's numbers are shorter.
      steps: after how many to give up, if not at the limit. What was not found until then is told by a score of LOWEST.
      halvings: how often sentences that are done leave the batch, of which half is left then; not for settings with a
        value for each sentence. Programs grow, and searches take less time where rows cost time: on a CPU.
    """
    return run(stages(model, source_BS, spec, key, frugal, steps), halvings)


def stages(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    key: jax.Array | None = None,
    frugal: bool = False,
    steps: int | None = None,
) -> Stages:
    """The same search, to be gone through with pauses."""
    if spec.method == "sample":
        return sample(model, source_BS, spec, jax.random.key(spec.seed) if key is None else key, frugal, steps)
    return {"beam": beam_search, "greedy": greedy_search}[spec.method](model, source_BS, spec, frugal, steps)
