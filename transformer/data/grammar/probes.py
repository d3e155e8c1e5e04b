"""Probes of a trained model: contrastive translations, and the antecedents of pronouns.

An incorrect translation realises the derivation of the correct one with one change: if a pronoun gets another gender,
its adjectives and participles agree with it, and the sentence stays grammatical. Errors of word order and of verb
agreement are made in the text, because no derivation has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from transformer.data.grammar.corpus import derive
from transformer.data.grammar.nodes import Clause, CoordinatedNounPhrase, Derivation, NounPhrase, Pronoun, features
from transformer.data.grammar.sentences import AnnotatedPair, join_english, join_french, realise

_PRONOUNS = {"he", "she", "it", "they", "him", "them", "her"}
_POSSESSIVES = {"son", "sa", "ses"}  # with these, "her" is not a pronoun
_OF_BOTH_NUMBERS = ("the", "this", "my", "our", "your")  # determiners
_SINGULAR = {  # a finite verb and its plural, by language
    "en": {"is": "are", "was": "were", "has": "have", "does": "do"},
    "fr": {"est": "sont", "a": "ont", "était": "étaient", "avait": "avaient", "va": "vont", "sera": "seront"},
}


class ContrastivePair(NamedTuple):
    """A sentence with its translation and one with a single error of some kind."""

    kind: str  # "coreference", "negation", "number", "agreement" or "word-order"
    source: str
    correct: str
    incorrect: str


class CoreferenceLink(NamedTuple):
    """A pronoun and its antecedent: indices in `french_words` and in `english_words`."""

    pronoun: tuple[int, int]
    noun: tuple[int, int]


def contrastive_pairs(split: str, index: int, target_language: str, seed: int = 0) -> list[ContrastivePair]:
    """Returns the contrastive pairs of one sentence pair; many have none.

    Args:
        split: split of the generated corpus.
        index: index of the pair.
        target_language: "fr" or "en"; the other is the source.
        seed: seed of the corpus.
    """
    derivation, example = derive(split, index, seed)
    source, correct = (example.english, example.french)[:: 1 if target_language == "fr" else -1]
    candidates = [(kind, _text(changed, target_language)) for kind, changed in with_one_error(derivation)]
    candidates += [("agreement", text) for text in _with_wrong_agreement(example, target_language)]
    candidates += [("word-order", text) for text in _in_source_order(example, target_language)]
    distinct = dict.fromkeys((kind, text) for kind, text in candidates if text != correct)
    return [ContrastivePair(kind, source, correct, text) for kind, text in distinct]


def coreference_link(split: str, index: int, seed: int = 0) -> tuple[AnnotatedPair, CoreferenceLink] | None:
    """Returns a pair with its pronoun and the antecedent; None if there is no such pronoun or it is ambiguous.

    A sentence is ambiguous if it has another third-person pronoun, or another noun that agrees with the pronoun.
    """
    derivation, example = derive(split, index, seed)
    if "coreference" not in example.tags:
        return None
    bound = [node for node in _walk(derivation) if isinstance(node, Pronoun) and node.bound]
    links = [(i, j) for i, j in example.alignment if _is_pronoun(example, i, j)]
    if len(bound) != 1 or len(links) != 1:
        return None
    phrases = [node for node in _walk(derivation) if isinstance(node, NounPhrase | CoordinatedNounPhrase)]
    agreeing = [phrase for phrase in phrases if features(phrase) == bound[0].features]
    if len(agreeing) != 1 or not isinstance(agreeing[0], NounPhrase):
        return None
    noun = _noun_indices(example, agreeing[0])
    return (example, CoreferenceLink(links[0], noun)) if noun else None


def _is_pronoun(example: AnnotatedPair, i: int, j: int) -> bool:
    return example.english_words[j].lower() in _PRONOUNS and example.french_words[i].lower() not in _POSSESSIVES


def _noun_indices(example: AnnotatedPair, node: NounPhrase) -> tuple[int, int] | None:
    """Returns the indices of a noun, if it occurs once in each language."""
    forms = node.noun.french[node.plural].lower(), node.noun.english[node.plural].lower()
    lower = [[word.lower() for word in side] for side in (example.french_words, example.english_words)]
    occurs_once = lower[0].count(forms[0]) == lower[1].count(forms[1]) == 1
    return (lower[0].index(forms[0]), lower[1].index(forms[1])) if occurs_once else None


def _walk(node: Any) -> Iterator[Any]:
    """Yields a node and its descendants, which are all named tuples."""
    if isinstance(node, tuple):
        yield node
        for child in node:
            yield from _walk(child)


def _replaced(node: Any, old: Any, new: Any) -> Any:
    """Returns the tree with `new` instead of the node that is `old`."""
    if node is old:
        return new
    return type(node)(*(_replaced(child, old, new) for child in node)) if isinstance(node, tuple) else node


def with_one_error(derivation: Derivation) -> Iterator[tuple[str, Derivation]]:
    """Yields (kind, derivation with one error), for every possible error."""
    for node in _walk(derivation):
        if isinstance(node, Pronoun) and node.bound:
            correct = node.features
            other_gender = correct._replace(gender_number=correct.gender_number ^ 1)
            for incorrect in (other_gender, correct._replace(human=not correct.human)):
                yield "coreference", _replaced(derivation, node, node._replace(features=incorrect))
        elif isinstance(node, Clause) and node.negation == "not":
            yield "negation", _replaced(derivation, node, node._replace(negation=""))
        elif isinstance(node, NounPhrase) and node.determiner in _OF_BOTH_NUMBERS and not node.noun.name:
            yield "number", _replaced(derivation, node, node._replace(plural=not node.plural))


def _text(derivation: Derivation, language: str) -> str:
    example = realise(derivation)
    return example.french if language == "fr" else example.english


def _words(example: AnnotatedPair, language: str) -> tuple[list[str], Any]:
    if language == "fr":
        return list(example.french_words), join_french
    return list(example.english_words), join_english


def _with_wrong_agreement(example: AnnotatedPair, language: str) -> Iterator[str]:
    """Yields the target with one verb in the other number."""
    words, join = _words(example, language)
    other = _SINGULAR[language] | {plural: singular for singular, plural in _SINGULAR[language].items()}
    for index, word in enumerate(words):
        if word in other:
            yield join([*words[:index], other[word], *words[index + 1 :]])


def _in_source_order(example: AnnotatedPair, language: str) -> Iterator[str]:
    """Yields the target with two adjacent words in the order of the source, where it differs."""
    words, join = _words(example, language)
    aligned: dict[int, list[int]] = {}
    for i, j in example.alignment:
        here, there = (i, j) if language == "fr" else (j, i)
        aligned.setdefault(here, []).append(there)
    for index in range(1, len(words) - 2):
        first, second = aligned.get(index), aligned.get(index + 1)
        if first and second and len(first) == len(second) == 1 and first[0] == second[0] + 1:
            yield join([*words[:index], words[index + 1], words[index], *words[index + 2 :]])
