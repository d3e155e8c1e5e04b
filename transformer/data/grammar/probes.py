"""Questions to a model about what it has learnt: right and wrong translations, and which noun a pronoun stands for.

A wrong translation is the right one's derivation with one thing changed, said by the same rules: a pronoun of another
gender takes its adjectives and participles along, and the sentence stays grammatical. Only word order and verb
agreement are broken in the text, for no rule breaks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from transformer.data.grammar import nodes
from transformer.data.grammar.corpus import derive
from transformer.data.grammar.nodes import Clause, Couple, NounPhrase, Pronoun, Sentence, features
from transformer.data.grammar.sentences import Example, join_english, join_french, realise

_NODES = tuple(each for each in vars(nodes).values() if isinstance(each, type) and hasattr(each, "_fields"))
_PRONOUNS = {"he", "she", "it", "they", "him", "them", "her"}
_POSSESSIVES = {"son", "sa", "ses"}  # where "her" is no pronoun
_OF_BOTH_NUMBERS = ("the", "this", "my", "our", "your")  # determiners
_SINGULAR = {  # a finite verb and its plural, by language
    "en": {"is": "are", "was": "were", "has": "have", "does": "do"},
    "fr": {"est": "sont", "a": "ont", "était": "étaient", "avait": "avaient", "va": "vont", "sera": "seront"},
}


class Contrast(NamedTuple):
    """A sentence with its translation and one that is wrong in one respect."""

    kind: str  # "coreference", "negation", "number", "agreement" or "word-order"
    source: str
    right: str
    wrong: str


class Link(NamedTuple):
    """A pronoun and the noun it stands for: places in `french_words` and in `english_words`."""

    pronoun: tuple[int, int]
    noun: tuple[int, int]


def contrasts(split: str, index: int, target_language: str, seed: int = 0) -> list[Contrast]:
    """What can be asked about pair `index` of a split; often nothing.

    Args:
        split: of the generated corpus.
        index: of the pair.
        target_language: "fr" or "en"; the other is the source.
        seed: of the corpus.
    """
    derivation, example = derive(split, index, seed)
    source, right = (example.english, example.french)[:: 1 if target_language == "fr" else -1]
    wrong = [(kind, _text(changed, target_language)) for kind, changed in _changed(derivation)]
    wrong += [("agreement", text) for text in _disagreeing(example, target_language)]
    wrong += [("word-order", text) for text in _in_source_order(example, target_language)]
    found = dict.fromkeys((kind, text) for kind, text in wrong if text != right)
    return [Contrast(kind, source, right, text) for kind, text in found]


def link(split: str, index: int, seed: int = 0) -> tuple[Example, Link] | None:
    """The one pronoun of a pair that has a noun in it, and that noun; None where there is none, or doubt.

    There is doubt where a sentence has another pronoun of the third person, or another noun that agrees with it.
    """
    derivation, example = derive(split, index, seed)
    if "coreference" not in example.tags:
        return None
    bound = [node for node in _walk(derivation) if isinstance(node, Pronoun) and node.bound]
    spoken = [(i, j) for i, j in example.alignment if _is_pronoun(example, i, j)]
    if len(bound) != 1 or len(spoken) != 1:
        return None
    agreeing = [node for node in _walk(derivation) if isinstance(node, NounPhrase | Couple) and _agrees(node, bound[0])]
    if len(agreeing) != 1 or not isinstance(agreeing[0], NounPhrase):
        return None
    noun = _places(example, agreeing[0])
    return (example, Link(spoken[0], noun)) if noun else None


def _agrees(node: NounPhrase | Couple, pronoun: Pronoun) -> bool:
    return features(node) == pronoun.features


def _is_pronoun(example: Example, i: int, j: int) -> bool:
    return example.english_words[j].lower() in _PRONOUNS and example.french_words[i].lower() not in _POSSESSIVES


def _places(example: Example, node: NounPhrase) -> tuple[int, int] | None:
    """Where a noun stands, if it stands there once."""
    forms = node.noun.french[node.plural].lower(), node.noun.english[node.plural].lower()
    words = example.french_words, example.english_words
    found = [
        [place for place, word in enumerate(side) if word.lower() == form]
        for side, form in zip(words, forms, strict=True)
    ]
    return (found[0][0], found[1][0]) if all(len(places) == 1 for places in found) else None


def _walk(node: Any) -> Iterator[Any]:
    """A node and all below it."""
    if isinstance(node, _NODES):
        yield node
        for child in node:
            yield from _walk(child)


def _replaced(node: Any, old: Any, new: Any) -> Any:
    """The tree with one node, found by identity, in another's place."""
    if node is old:
        return new
    if not isinstance(node, _NODES):
        return node
    return type(node)(*(_replaced(child, old, new) for child in node))


def _changed(derivation: Sentence) -> Iterator[tuple[str, Sentence]]:
    """The derivation with one thing said wrong, for every thing."""
    for node in _walk(derivation):
        if isinstance(node, Pronoun) and node.bound:
            right = node.features
            other_gender = right._replace(gender_number=right.gender_number ^ 1)
            for wrong in (other_gender, right._replace(human=not right.human)):
                yield "coreference", _replaced(derivation, node, node._replace(features=wrong))
        elif isinstance(node, Clause) and node.negation == "not":
            yield "negation", _replaced(derivation, node, node._replace(negation=""))
        elif isinstance(node, NounPhrase) and node.determiner in _OF_BOTH_NUMBERS and not node.noun.name:
            yield "number", _replaced(derivation, node, node._replace(plural=not node.plural))


def _text(derivation: Sentence, language: str) -> str:
    example = realise(derivation)
    return example.french if language == "fr" else example.english


def _words(example: Example, language: str) -> tuple[list[str], Any]:
    if language == "fr":
        return list(example.french_words), join_french
    return list(example.english_words), join_english


def _disagreeing(example: Example, language: str) -> Iterator[str]:
    """The target with a verb in the other number."""
    words, join = _words(example, language)
    other = _SINGULAR[language] | {plural: singular for singular, plural in _SINGULAR[language].items()}
    for place, word in enumerate(words):
        if word in other:
            yield join([*words[:place], other[word], *words[place + 1 :]])


def _in_source_order(example: Example, language: str) -> Iterator[str]:
    """The target with two neighbours, whose counterparts stand the other way round, in the source's order."""
    words, join = _words(example, language)
    aligned: dict[int, list[int]] = {}
    for i, j in example.alignment:
        here, there = (i, j) if language == "fr" else (j, i)
        aligned.setdefault(here, []).append(there)
    for place in range(1, len(words) - 2):
        first, second = aligned.get(place), aligned.get(place + 1)
        if first and second and len(first) == len(second) == 1 and first[0] == second[0] + 1:
            yield join([*words[:place], words[place + 1], words[place], *words[place + 2 :]])
