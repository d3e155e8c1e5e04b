"""The corpus: pair `index` of a split, drawn and realised."""

from __future__ import annotations

import operator
from collections.abc import Callable

from transformer.data.grammar.generation import actions, compound, questions, reasons, scripts, states
from transformer.data.grammar.generation.tenses import in_sequence
from transformer.data.grammar.nodes import Sentence
from transformer.data.grammar.sampling import SPLITS, Stream, belongs
from transformer.data.grammar.sentences import Example, realise

# No sentence has fewer words than SHORTEST, and none of train, validation or test more than LONGEST_TRAINED,
# punctuation not counted; every sentence of "long" has more in both languages, and at most LONGEST.
SHORTEST = 3
LONGEST_TRAINED = 20
LONGEST = 40

PHENOMENA = (
    "adjective-placement",  # an adjective beside its noun; French puts it before or after, English before
    "agreement-gender",  # an adjective or participle stands in a feminine form that differs from the masculine
    "agreement-number",  # a plural noun phrase
    "comparison",  # plus ... que, more ... than
    "contraction",  # a preposition and an article in one word: au, aux, du, des
    "coordination",  # et, mais, ou, donc
    "coreference",  # a third-person pronoun whose antecedent stands in the sentence, and decides il or elle, it or she
    "elision",  # a word that lost its vowel: l', d', qu', n', s', j', m'
    "future",
    "infinitive",  # after vouloir, pouvoir, essayer de, pour, ...
    "length",  # longer than any sentence of the other splits
    "negation",  # ne ... pas, ne ... jamais
    "object-pronoun",  # me, le, la, les, lui, ... before the French verb
    "participle-agreement",  # a participle agrees visibly with a subject (être) or with an object before it (avoir)
    "partitive",  # du pain, de la soupe, pas de pain: some, any
    "past",
    "possessive",  # mon, son, ...; le livre de Marie
    "present",
    "question-wh",
    "question-yes-no",
    "reflexive",  # se réveiller
    "relative-clause",  # qui, que
    "subordinate-clause",  # parce que, si, quand, bien que, pendant que, que
)

Rule = Callable[[Stream], Sentence | None]

# rule: how often it is drawn
WEIGHTS: dict[Rule, int] = {
    actions.action: 20,
    states.description: 7,
    states.location: 4,
    states.comparison: 3,
    actions.motion: 4,
    actions.control: 7,
    actions.transfer: 5,
    actions.addressed: 3,
    actions.report: 4,
    scripts.errand: 3,
    scripts.follow_up: 7,
    scripts.before: 2,
    scripts.without: 2,
    scripts.shared_subject: 3,
    compound.when: 3,
    compound.meanwhile: 2,
    scripts.and_then: 2,
    compound.contrast: 3,
    compound.weather: 1,
    reasons.because: 9,
    reasons.so: 3,
    reasons.if_clause: 3,
    reasons.although: 2,
    reasons.habit: 2,
    questions.whether: 5,
    questions.why: 2,
    questions.where: 2,
    questions.when: 1,
    questions.what: 2,
    questions.who: 2,
    questions.whom: 1,
    questions.to_whom: 1,
    questions.which: 2,
}
RULES: tuple[Rule, ...] = tuple(rule for rule, weight in WEIGHTS.items() for _ in range(weight))

# How many noun phrases in a hundred carry a relative clause, outside "long".
NESTING = 11


def generate(split: str, index: int, seed: int = 0) -> Example:
    """Returns one sentence pair; the same for the same arguments, whatever was generated before.

    Args:
        split: one of `SPLITS`. "long" holds longer sentences than the others, to test length generalisation.
        index: which pair of the split, from 0 without end.
        seed: another seed gives another corpus over the same division into splits.

    Raises:
        ValueError: if the split is unknown or the index negative.
    """
    return derive(split, index, seed)[1]


def derive(split: str, index: int, seed: int = 0) -> tuple[Sentence, Example]:
    """Returns what `generate` returns, and the derivation that it says; raises what that raises."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index {index} is negative: pairs are counted from 0")
    # index() takes numpy's integers, whose own arithmetic would overflow, and refuses floats.
    rng = Stream(operator.index(seed), SPLITS.index(split), operator.index(index))
    return _long(rng) if split == "long" else _short(rng, split)


def draw(rng: Stream, split: str) -> Sentence:
    """Returns a derivation whose content belongs to the split; its length is not looked at."""
    while True:
        rng.nesting = NESTING
        derivation = rng.choice(RULES)(rng)
        if derivation is not None and belongs(split, derivation):
            return in_sequence(derivation) if rng.relatives else derivation


def _short(rng: Stream, split: str) -> tuple[Sentence, Example]:
    while True:
        derivation = draw(rng, split)
        example = realise(derivation)
        counts = word_counts(example)
        if min(counts) >= SHORTEST and max(counts) <= LONGEST_TRAINED:
            return derivation, example


def _long(rng: Stream) -> tuple[Sentence, Example]:
    while True:
        derivation = in_sequence(compound.long(rng))
        example = realise(derivation)
        counts = word_counts(example)
        if min(counts) > LONGEST_TRAINED and max(counts) <= LONGEST:
            return derivation, Example(
                example.french,
                example.english,
                example.alignment,
                example.tags | {"length"},
                example.french_words,
                example.english_words,
            )


def word_counts(example: Example) -> tuple[int, int]:
    """Returns the number of words, French and English, without punctuation."""
    return _words(example.french_words), _words(example.english_words)


def _words(words: tuple[str, ...]) -> int:
    return len(words) - words.count(",") - 1  # the last word is the final mark
