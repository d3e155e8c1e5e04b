"""The corpus: samples and realises pair `index` of a split."""

from __future__ import annotations

import operator
from collections.abc import Callable

from transformer.data.grammar.generation import actions, compound, questions, reasons, scripts, states
from transformer.data.grammar.generation.tenses import in_sequence
from transformer.data.grammar.nodes import Derivation
from transformer.data.grammar.sampling import SPLITS, RandomStream, in_split
from transformer.data.grammar.sentences import AnnotatedPair, realise

# Lengths in words, without punctuation. Sentences have at least MIN_WORDS; those of train, validation and test have at
# most MAX_WORDS. Sentences of "long" have more in both languages, and at most MAX_WORDS_LONG.
MIN_WORDS = 3
MAX_WORDS = 20
MAX_WORDS_LONG = 40

PHENOMENA = (
    "adjective-placement",  # an attributive adjective; French puts it before or after the noun, English before
    "agreement-gender",  # an adjective or participle has a feminine form that differs from the masculine
    "agreement-number",  # a plural noun phrase
    "comparison",  # plus ... que, more ... than
    "contraction",  # a preposition and an article in one word: au, aux, du, des
    "coordination",  # et, mais, ou, donc
    "coreference",  # a third-person pronoun with its antecedent in the sentence, which decides il or elle, it or she
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

SamplingRule = Callable[[RandomStream], Derivation | None]

# rule → relative frequency
RULE_WEIGHTS: dict[SamplingRule, int] = {
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
RULES: tuple[SamplingRule, ...] = tuple(rule for rule, weight in RULE_WEIGHTS.items() for _ in range(weight))

# Percentage of noun phrases with a relative clause, outside "long".
RELATIVE_PERCENT = 11


def generate(split: str, index: int, seed: int = 0) -> AnnotatedPair:
    """Returns one sentence pair, as a pure function of the arguments.

    Args:
        split: one of `SPLITS`. "long" has longer sentences than the other splits, to test length generalisation.
        index: index of the pair, from 0; there is no upper limit.
        seed: each seed gives another corpus with the same division into splits.

    Raises:
        ValueError: the split is unknown, or the index is negative.
    """
    return derive(split, index, seed)[1]


def derive(split: str, index: int, seed: int = 0) -> tuple[Derivation, AnnotatedPair]:
    """Returns the derivation and the pair of `generate`, and raises the same errors."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; it must be one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index {index} is negative; the first pair has index 0")
    # index() converts NumPy integers, whose arithmetic would overflow, and rejects floats.
    rng = RandomStream(operator.index(seed), SPLITS.index(split), operator.index(index))
    return _sample_long(rng) if split == "long" else _sample_short(rng, split)


def sample_derivation(rng: RandomStream, split: str) -> Derivation:
    """Samples a derivation with content of the split, of any length."""
    while True:
        rng.relative_percent = RELATIVE_PERCENT
        derivation = rng.choice(RULES)(rng)
        if derivation is not None and in_split(split, derivation):
            return in_sequence(derivation) if rng.relative_clauses else derivation


def _sample_short(rng: RandomStream, split: str) -> tuple[Derivation, AnnotatedPair]:
    while True:
        derivation = sample_derivation(rng, split)
        example = realise(derivation)
        counts = word_counts(example)
        if min(counts) >= MIN_WORDS and max(counts) <= MAX_WORDS:
            return derivation, example


def _sample_long(rng: RandomStream) -> tuple[Derivation, AnnotatedPair]:
    while True:
        derivation = in_sequence(compound.long(rng))
        example = realise(derivation)
        counts = word_counts(example)
        if min(counts) > MAX_WORDS and max(counts) <= MAX_WORDS_LONG:
            return derivation, AnnotatedPair(
                example.french,
                example.english,
                example.alignment,
                example.tags | {"length"},
                example.french_words,
                example.english_words,
            )


def word_counts(example: AnnotatedPair) -> tuple[int, int]:
    """Returns the number of words, French and English, without punctuation."""
    return _words(example.french_words), _words(example.english_words)


def _words(words: tuple[str, ...]) -> int:
    return len(words) - words.count(",") - 1  # the last word is the final punctuation mark
