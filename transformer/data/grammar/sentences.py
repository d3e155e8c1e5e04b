"""Whole sentences: joining clauses, asking questions, and finishing the surface of both languages.

Word lists hold what a reader would count: an elided word ends in an apostrophe and is a word of its own ("l'",
"homme"), and a punctuation mark is a word. The text is the words joined by a space, except after an apostrophe that
ends a word, and before a comma or a full stop; the French question mark keeps its space, the English one does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformer.data.grammar.agreement import HE, Features
from transformer.data.grammar.clauses import clause, relative
from transformer.data.grammar.draft import Draft, Phrase, Tokens
from transformer.data.grammar.french import ELIDING, elided
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.nodes import Clause, Joined, Question, Sentence, Subordinated, features
from transformer.data.grammar.phrases import noun_phrase

# "and too" joins two sentences with subjects of their own
COMMA_BEFORE = frozenset({"and too", "but", "so"})

# ask: French words before "est-ce que", English words; "what" and "whom" stand for the object
QUESTION_WORDS = {
    "why": ("pourquoi", "why"),
    "where": ("où", "where"),
    "when": ("quand", "when"),
    "what": ("que", "what"),
    "whom": ("qui", "who"),
    "to whom": ("qui", "who"),
}

# The words that elision can change; "l'" is in some uninflected phrases ("l'année dernière").
MAY_ELIDE = ELIDING | {"si", "l'"}

SOMEBODY = Features(HE, 0, True)


@dataclass(frozen=True)
class Example:
    """A sentence pair with its gold word alignment and the tags of the phenomena in it.

    `alignment` holds pairs (index in french_words, index in english_words), sorted.
    """

    french: str
    english: str
    alignment: tuple[tuple[int, int], ...]
    tags: frozenset[str]
    french_words: tuple[str, ...]
    english_words: tuple[str, ...]


def realise(derivation: Sentence) -> Example:
    """Returns the pair of texts that a derivation stands for."""
    draft = Draft(relative)
    french, english = _sentence(draft, derivation)
    end = (("?" if isinstance(derivation, Question) else "."), draft.fresh())
    french.append(end)
    english.append(end)
    french_words = _french_surface(draft, french)
    english_words = [word for word, _ in english]
    english_words[0] = _capitalized(english_words[0])
    return Example(
        join_french(french_words),
        join_english(english_words),
        _alignment(french, english),
        frozenset(draft.tags),
        tuple(french_words),
        tuple(english_words),
    )


def join_french(words: list[str]) -> str:
    """Returns the text of French words."""
    return " ".join(words).replace("' ", "'").replace(" ,", ",").replace(" .", ".")


def join_english(words: list[str]) -> str:
    """Returns the text of English words."""
    return " ".join(words).replace(" ,", ",").replace(" .", ".").replace(" ?", "?")


def _capitalized(word: str) -> str:
    return word[0].upper() + word[1:]


def _french_surface(draft: Draft, tokens: Tokens) -> list[str]:
    """Returns the French words with elision made and the first one capitalised."""
    words = [word for word, _ in tokens]
    for i, word in enumerate(words):
        if word in MAY_ELIDE:
            words[i] = word = elided(word, words[i + 1])
            if word[-1] == "'":
                draft.tags.add("elision")
    words[0] = _capitalized(words[0])
    return words


def _alignment(french: Tokens, english: Tokens) -> tuple[tuple[int, int], ...]:
    """Returns the pairs of positions whose tokens share an anchor."""
    places: dict[int, list[int]] = {}
    for j, (_, anchor) in enumerate(english):
        if type(anchor) is int:
            places.setdefault(anchor, []).append(j)
        else:
            for a in anchor:  # pyright: ignore[reportGeneralTypeIssues]
                places.setdefault(a, []).append(j)
    places.pop(0, None)
    links: list[tuple[int, int]] = []
    for i, (_, anchor) in enumerate(french):
        if type(anchor) is int:
            for j in places.get(anchor, ()):
                links.append((i, j))
        else:
            found = {j for a in anchor for j in places.get(a, ())}  # pyright: ignore[reportGeneralTypeIssues]
            links += [(i, j) for j in sorted(found)]
    return tuple(links)


def _sentence(draft: Draft, node: Sentence) -> Phrase:
    """Returns a sentence without its final mark."""
    if isinstance(node, Clause):
        return clause(draft, node)
    if isinstance(node, Joined):
        return _joined(draft, node)
    if isinstance(node, Subordinated):
        return _subordinated(draft, node)
    return _question(draft, node)


def _first_subject(node: Sentence) -> Features:
    while not isinstance(node, Clause):
        node = node.first if isinstance(node, Joined) else node.main if isinstance(node, Subordinated) else node.clause
    if node.subject is None:
        raise ValueError("the first of two joined clauses needs a subject")
    return features(node.subject)


def _joined(draft: Draft, node: Joined) -> Phrase:
    draft.tags.add("coordination")
    french, english = _sentence(draft, node.first)
    joint_french, joint_english = draft.fixed(CONJUNCTIONS[node.conjunction])
    if isinstance(node.second, Clause) and node.second.subject is None:
        second_french, second_english = clause(draft, node.second, who=_first_subject(node.first), shared=True)
    else:
        second_french, second_english = _sentence(draft, node.second)
    if node.conjunction in COMMA_BEFORE:
        comma = (",", draft.fresh())
        french.append(comma)
        english.append(comma)
    return [*french, *joint_french, *second_french], [*english, *joint_english, *second_english]


def _subordinated(draft: Draft, node: Subordinated) -> Phrase:
    draft.tags.add("subordinate-clause")
    link_french, link_english = draft.fixed(CONJUNCTIONS[node.conjunction])
    main_french, main_english = _sentence(draft, node.main)
    french, english = clause(draft, node.subordinate)
    if node.fronted:
        comma = (",", draft.fresh())
        return [*link_french, *french, comma, *main_french], [*link_english, *english, comma, *main_english]
    return [*main_french, *link_french, *french], [*main_english, *link_english, *english]


def _question(draft: Draft, node: Question) -> Phrase:
    asked = draft.fresh()
    if node.ask == "who":
        draft.tags.add("question-wh")
        french, english = clause(draft, node.clause, who=SOMEBODY)
        return [("qui", asked), *french], [("who", asked), *english]
    mark = draft.fresh()
    marker: Tokens = [("est-ce", mark), ("que", mark)]
    if node.ask == "whether":
        draft.tags.add("question-yes-no")
        french, english = clause(draft, node.clause, question=mark)
        return marker + french, english
    draft.tags.add("question-wh")
    if node.focus is not None:
        focus_french, focus_english = noun_phrase(draft, node.focus, None, False)
        french, english = clause(draft, node.clause, preceding=features(node.focus).gender_number, question=mark)
        return focus_french + marker + french, focus_english + english
    french_word, english_word = QUESTION_WORDS[node.ask]
    french, english = clause(draft, node.clause, question=mark)
    if node.ask == "to whom":
        to = draft.fresh()
        return [("à", to), (french_word, asked), *marker, *french], [(english_word, asked), *english, ("to", to)]
    return [(french_word, asked), *marker, *french], [(english_word, asked), *english]
