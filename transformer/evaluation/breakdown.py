"""Scores of subsets of a test set: by source length and by tag."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from transformer.evaluation import bleu
from transformer.languages import count_words


class SubsetScore(NamedTuple):
    """A subset of a test set and its score, between 0 and 100."""

    name: str
    sentences: int
    score: float


def bleu_by_source_length(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], language: str, sentences: int = 100
) -> list[SubsetScore]:
    """Computes corpus BLEU by bins of source length, shortest first; Figure 2 of Bahdanau et al. 2015.

    Args:
      sources: raw text; the length is the number of words between spaces, and each Chinese character is one.
      hypotheses: translations.
      references: raw text.
      language: code of the target language.
      sentences: minimum size of a bin. Sentences of equal length share a bin. A last bin that is smaller is merged
        with the one before it.

    Returns:
      Subsets named "FROM-TO" in words, both inclusive.
    """
    lengths = [count_words(source) for source in sources]
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
        SubsetScore(
            f"{lengths[indices[0]]}-{lengths[indices[-1]]}",
            len(indices),
            bleu.bleu([hypotheses[index] for index in indices], [references[index] for index in indices], language),
        )
        for indices in bins
    ]


def exact_match(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Computes the percentage of translations that equal their reference, character by character.

    Raises:
      ValueError: there are no translations.
    """
    if not references:
        raise ValueError("no translations to compare")
    same = sum(hypothesis == reference for hypothesis, reference in zip(hypotheses, references, strict=True))
    return 100 * same / len(references)


def exact_match_by_tag(
    tags: Sequence[Collection[str]], hypotheses: Sequence[str], references: Sequence[str]
) -> list[SubsetScore]:
    """Computes `exact_match` of the sentences with each tag, in the order of the tags' names."""
    subsets = []
    for name in sorted(set().union(*tags)):
        indices = [index for index, sentence_tags in enumerate(tags) if name in sentence_tags]
        score = exact_match([hypotheses[index] for index in indices], [references[index] for index in indices])
        subsets.append(SubsetScore(name, len(indices), score))
    return subsets
