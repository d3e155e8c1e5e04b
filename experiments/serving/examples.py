"""Example sentences for the translator page."""

from collections.abc import Sequence
from typing import NamedTuple

from transformer.data.corpus import open_corpus
from transformer.data.pairs import Pair
from transformer.languages import count_words
from transformer.spec import DataSpec

_COUNT = 4
_SCANNED = 100  # pairs from which the examples are chosen
_MIN_WORDS, _MAX_WORDS = 4, 14


class Examples(NamedTuple):
    """Sentence pairs and the name of their split."""

    split: str = ""
    pairs: Sequence[Pair] = ()


def choose_examples(spec: DataSpec) -> Examples:
    """Returns the first short sentences of the run's test split.

    The model has not seen these sentences; nothing is scored. A missing or faulty corpus yields no examples, so a run's
    folder also works on a machine without its corpus.
    """
    try:
        pairs = open_corpus(spec).lazy_split(spec.test_split)[:_SCANNED]
    except (ImportError, OSError, ValueError):
        return Examples()
    chosen: dict[str, Pair] = {}
    for pair in pairs:
        if _MIN_WORDS <= count_words(pair.source) <= _MAX_WORDS and len(chosen) < _COUNT:
            chosen.setdefault(pair.source, pair)
    return Examples(spec.test_split, list(chosen.values()))
