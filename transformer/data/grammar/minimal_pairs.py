"""Minimal pairs: two sentences that differ in a word or two, which changes the translation of another word.

"The chicken did not cross the road because it was afraid" and "... because it was wide" differ in the reason, and so in
the antecedent of "it", which is "il" or "elle". "The dog barked" and "The dogs barked" differ in number, and so do the
articles of their translations. Unlike the incorrect translations of `probes`, both sentences are correct.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from transformer.data.grammar.corpus import derive
from transformer.data.grammar.generation import reasons
from transformer.data.grammar.generation.reasons import Reason, Scene
from transformer.data.grammar.nodes import Clause, CopularPredicate, Derivation, NounPhrase, Subordination, pronoun_for
from transformer.data.grammar.probes import with_one_error
from transformer.data.grammar.sampling import SPLITS, RandomStream
from transformer.data.grammar.sentences import AnnotatedPair, realise

KINDS = ("coreference", "number")
ROLES = ("antecedent", "other antecedent", "pronoun")  # in `source`; the other sentence has the other antecedent
_MAX_CHANGED = {"en": 1, "fr": 2}  # words of the source; in French the pronoun or the article changes, too


_PRONOUNS = {"il", "elle", "he", "she", "it"}


class _Reasoned(NamedTuple):
    """A sentence with a reason, and the participant that it is about."""

    derivation: Derivation
    antecedent: NounPhrase


class MinimalPair(NamedTuple):
    """Two sentences and their translations."""

    kind: str  # one of KINDS
    source: str
    translation: str
    other_source: str
    other_translation: str
    source_words: tuple[str, ...]
    roles: tuple[tuple[str, int], ...] = ()  # of coreference: (role, index of the source word), for each role in ROLES


def minimal_pairs(kind: str, split: str, target_language: str, seed: int = 0) -> Iterator[MinimalPair]:
    """Yields different minimal pairs without end.

    Pairs of the kind "number" come from the sentences of the split. Those of the kind "coreference" are too rare there
    and are sampled; their content may occur in the training split.

    Args:
        kind: one of KINDS.
        split: split of the generated corpus.
        target_language: "fr" or "en"; the other is the source.
        seed: seed of the corpus.
    """
    seen: set[str] = set()
    for index in itertools.count():
        pairs = _number_pairs(split, index, target_language, seed)
        if kind == "coreference":
            scenes = _other_antecedent(RandomStream(seed, SPLITS.index(split), index))
            pairs = [_coreference_pair(*scenes, target_language)] if scenes else []
        for pair in pairs:
            if pair is not None and pair.source not in seen:
                seen |= {pair.source, pair.other_source}
                yield pair


def _number_pairs(split: str, index: int, target_language: str, seed: int) -> Iterator[MinimalPair | None]:
    derivation, example = derive(split, index, seed)
    for kind, changed in with_one_error(derivation):
        if kind == "number":
            yield _pair(kind, example, realise(changed), target_language)


def _pair(kind: str, first: AnnotatedPair, second: AnnotatedPair, target_language: str) -> MinimalPair | None:
    """Returns the pair, or None if its sources differ in too many words or its translations not at all."""
    source = "en" if target_language == "fr" else "fr"
    before, after = _words(first, source), _words(second, source)
    changed = sum(old != new for old, new in zip(before, after, strict=False))
    if (
        len(before) != len(after)
        or not 0 < changed <= _MAX_CHANGED[source]
        or not _first_change(first, second, target_language)
    ):
        return None
    texts = [
        getattr(pair, {"en": "english", "fr": "french"}[language])
        for pair in (first, second)
        for language in (source, target_language)
    ]
    return MinimalPair(kind, *texts, source_words=before)


def _coreference_pair(first: _Reasoned, second: _Reasoned, target_language: str) -> MinimalPair | None:
    """Returns the pair, or None if the pronoun has one translation, or a noun is not one word that occurs once."""
    if first.antecedent.plural or second.antecedent.plural:  # a number changes more words; realising takes most time
        return None
    examples = realise(first.derivation), realise(second.derivation)
    pair = _pair("coreference", *examples, target_language)
    if pair is None or not _PRONOUNS.issuperset(_first_change(*examples, target_language)):
        return None
    source = "en" if target_language == "fr" else "fr"
    words = [word.lower() for word in _words(examples[0], source)]
    forms = [_form(first.antecedent, source), _form(second.antecedent, source)]
    pronouns = [index for index, word in enumerate(words) if word in _PRONOUNS]
    if any(words.count(form) != 1 for form in forms) or len(pronouns) != 1:
        return None
    return pair._replace(roles=tuple(zip(ROLES, [*map(words.index, forms), *pronouns], strict=True)))


def _words(example: AnnotatedPair, language: str) -> tuple[str, ...]:
    return example.english_words if language == "en" else example.french_words


def _first_change(first: AnnotatedPair, second: AnnotatedPair, language: str) -> tuple[str, ...]:
    """Returns the first two words at one place that differ, or ()."""
    words = zip(_words(first, language), _words(second, language), strict=False)
    return next((pair for pair in words if pair[0] != pair[1]), ())


def _form(phrase: NounPhrase, language: str) -> str:
    return (phrase.noun.english if language == "en" else phrase.noun.french)[phrase.plural].lower()


@functools.cache
def _reasons() -> dict[tuple[str, bool, bool], list[Reason]]:
    """Returns the reasons by verb, negation and whether they are about the object."""
    by_key: dict[tuple[str, bool, bool], list[Reason]] = {}
    for reason in (reason for roles in reasons.REASON_GROUPS for group in roles for reason in group):
        by_key.setdefault((reason.frame.verb.lemma, reason.negated, reason.of_object), []).append(reason)
    return by_key


def _other_antecedent(rng: RandomStream) -> tuple[_Reasoned, _Reasoned] | None:
    """Returns a sentence with a reason, and the same with a reason about the other participant; None if it has none."""
    scene = reasons.sample_scene(rng)
    if scene is None or scene.object_phrase is None or not isinstance(scene.subject, NounPhrase):
        return None
    reason, participants = scene.reason, (scene.object_phrase, scene.subject)
    other = participants[reason.of_object]
    candidates = _reasons().get((reason.frame.verb.lemma, reason.negated, not reason.of_object), [])
    scenes = [scene._replace(reason=candidate) for candidate in candidates if other.noun in candidate.nouns]
    scenes = [candidate for candidate in scenes if not reasons.is_ambiguous(candidate)]
    if not scenes:
        return None
    tenses = reasons.tenses(rng, reason)
    antecedent = participants[not reason.of_object]
    return _because(scene, antecedent, *tenses), _because(rng.choice(scenes), other, *tenses)


def _because(scene: Scene, antecedent: NounPhrase, tense: str, reason_tense: str) -> _Reasoned:
    because = Clause(pronoun_for(antecedent), CopularPredicate(scene.reason.property), reason_tense)
    return _Reasoned(Subordination(reasons.main_clause(scene, tense), "because", because), antecedent)
