"""Where a system is good and where it is not: scores of parts of a test set."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from transformer.evaluation import bleu


class Part(NamedTuple):
    """A part of a test set and a score of it, between 0 and 100."""

    name: str
    sentences: int
    score: float


def by_source_length(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], sentences: int = 100
) -> list[Part]:
    """Corpus BLEU of bins of sentences of similar source length, short ones first; Figure 2 of Bahdanau et al. 2015.

    Args:
      sources: raw text; its length is the number of words between spaces.
      hypotheses: translations.
      references: raw text.
      sentences: a bin is closed when it has that many, at the end of a length; a last bin that is smaller joins the
        one before it.

    Returns:
      Parts named "FROM-TO" in words, both included.
    """
    lengths = [len(source.split()) for source in sources]
    bins: list[list[int]] = [[]]
    previous = None
    for index in sorted(range(len(sources)), key=lambda index: lengths[index]):
        if len(bins[-1]) >= sentences and lengths[index] != previous:
            bins.append([])
        bins[-1].append(index)
        previous = lengths[index]
    if len(bins) > 1 and len(bins[-1]) < sentences:
        last = bins.pop()
        bins[-1] += last
    return [
        Part(
            f"{lengths[chosen[0]]}-{lengths[chosen[-1]]}",
            len(chosen),
            bleu.bleu([hypotheses[index] for index in chosen], [references[index] for index in chosen]),
        )
        for chosen in bins
    ]


def exact(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Percentage of translations that are their reference, character by character.

    Raises:
      ValueError: there are none.
    """
    if not references:
        raise ValueError("no translations to compare")
    same = sum(hypothesis == reference for hypothesis, reference in zip(hypotheses, references, strict=True))
    return 100 * same / len(references)


def exact_by_tag(tags: Sequence[Collection[str]], hypotheses: Sequence[str], references: Sequence[str]) -> list[Part]:
    """`exact` of the sentences that carry each tag, in the order of the tags' names."""
    parts = []
    for name in sorted(set().union(*tags)):
        chosen = [index for index, carried in enumerate(tags) if name in carried]
        score = exact([hypotheses[index] for index in chosen], [references[index] for index in chosen])
        parts.append(Part(name, len(chosen), score))
    return parts
