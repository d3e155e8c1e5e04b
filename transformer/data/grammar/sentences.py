"""Complete sentences: coordination, subordination, questions, and the surface form of both languages.

An elided word ends in an apostrophe and counts as one word ("l'", "homme"); a punctuation mark is a word. The text
joins the words by spaces, except after an apostrophe that ends a word, and before a comma or a full stop. The French
question mark keeps its space, the English one does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformer.data.grammar.agreement import HE, AgreementFeatures
from transformer.data.grammar.clauses import clause, relative_clause
from transformer.data.grammar.draft import AlignedPhrase, RealisationContext, Tokens
from transformer.data.grammar.french import ELIDING, elided
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.nodes import Clause, Coordination, Derivation, Question, Subordination, features
from transformer.data.grammar.phrases import noun_phrase

# "and too" joins two sentences with different subjects
COMMA_BEFORE = frozenset({"and too", "but", "so"})

# `Question.ask` → French word before "est-ce que", English word; "what" and "whom" are objects
QUESTION_WORDS = {
    "why": ("pourquoi", "why"),
    "where": ("où", "where"),
    "when": ("quand", "when"),
    "what": ("que", "what"),
    "whom": ("qui", "who"),
    "to whom": ("qui", "who"),
}

# Words that may elide; "l'" occurs in some uninflected phrases ("l'année dernière").
MAY_ELIDE = ELIDING | {"si", "l'"}

SOMEBODY = AgreementFeatures(HE, 0, True)


@dataclass(frozen=True)
class AnnotatedPair:
    """A sentence pair with its gold word alignment and the tags of its phenomena.

    `alignment` holds pairs (index in french_words, index in english_words), sorted.
    """

    french: str
    english: str
    alignment: tuple[tuple[int, int], ...]
    tags: frozenset[str]
    french_words: tuple[str, ...]
    english_words: tuple[str, ...]


def realise(derivation: Derivation) -> AnnotatedPair:
    """Returns the sentence pair of a derivation."""
    context = RealisationContext(relative_clause)
    french, english = _sentence(context, derivation)
    end = (("?" if isinstance(derivation, Question) else "."), context.new_anchor())
    french.append(end)
    english.append(end)
    french_words = _french_surface(context, french)
    english_words = [word for word, _ in english]
    english_words[0] = _capitalized(english_words[0])
    return AnnotatedPair(
        join_french(french_words),
        join_english(english_words),
        _alignment(french, english),
        frozenset(context.tags),
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


def _french_surface(context: RealisationContext, tokens: Tokens) -> list[str]:
    """Returns the French words after elision, the first one capitalised."""
    words = [word for word, _ in tokens]
    for i, word in enumerate(words):
        if word in MAY_ELIDE:
            words[i] = word = elided(word, words[i + 1])
            if word[-1] == "'":
                context.tags.add("elision")
    words[0] = _capitalized(words[0])
    return words


def _alignment(french: Tokens, english: Tokens) -> tuple[tuple[int, int], ...]:
    """Returns the index pairs of tokens that share an anchor, sorted."""
    positions: dict[int, list[int]] = {}
    for j, (_, anchor) in enumerate(english):
        if type(anchor) is int:
            positions.setdefault(anchor, []).append(j)
        else:
            for a in anchor:  # pyright: ignore[reportGeneralTypeIssues]
                positions.setdefault(a, []).append(j)
    positions.pop(0, None)
    links: list[tuple[int, int]] = []
    for i, (_, anchor) in enumerate(french):
        if type(anchor) is int:
            for j in positions.get(anchor, ()):
                links.append((i, j))
        else:
            indices = {j for a in anchor for j in positions.get(a, ())}  # pyright: ignore[reportGeneralTypeIssues]
            links += [(i, j) for j in sorted(indices)]
    return tuple(links)


def _sentence(context: RealisationContext, node: Derivation) -> AlignedPhrase:
    """Returns a sentence without its final punctuation mark."""
    if isinstance(node, Clause):
        return clause(context, node)
    if isinstance(node, Coordination):
        return _joined(context, node)
    if isinstance(node, Subordination):
        return _subordinated(context, node)
    return _question(context, node)


def _first_subject(node: Derivation) -> AgreementFeatures:
    while not isinstance(node, Clause):
        node = (
            node.first
            if isinstance(node, Coordination)
            else node.main
            if isinstance(node, Subordination)
            else node.clause
        )
    if node.subject is None:
        raise ValueError("the first of two coordinated clauses needs a subject")
    return features(node.subject)


def _joined(context: RealisationContext, node: Coordination) -> AlignedPhrase:
    context.tags.add("coordination")
    french, english = _sentence(context, node.first)
    joint_french, joint_english = context.uninflected(CONJUNCTIONS[node.conjunction])
    if isinstance(node.second, Clause) and node.second.subject is None:
        second_french, second_english = clause(
            context, node.second, subject_features=_first_subject(node.first), shared=True
        )
    else:
        second_french, second_english = _sentence(context, node.second)
    if node.conjunction in COMMA_BEFORE:
        comma = (",", context.new_anchor())
        french.append(comma)
        english.append(comma)
    return [*french, *joint_french, *second_french], [*english, *joint_english, *second_english]


def _subordinated(context: RealisationContext, node: Subordination) -> AlignedPhrase:
    context.tags.add("subordinate-clause")
    link_french, link_english = context.uninflected(CONJUNCTIONS[node.conjunction])
    main_french, main_english = _sentence(context, node.main)
    french, english = clause(context, node.subordinate)
    if node.fronted:
        comma = (",", context.new_anchor())
        return [*link_french, *french, comma, *main_french], [*link_english, *english, comma, *main_english]
    return [*main_french, *link_french, *french], [*main_english, *link_english, *english]


def _question(context: RealisationContext, node: Question) -> AlignedPhrase:
    question_anchor = context.new_anchor()
    if node.ask == "who":
        context.tags.add("question-wh")
        french, english = clause(context, node.clause, subject_features=SOMEBODY)
        return [("qui", question_anchor), *french], [("who", question_anchor), *english]
    marker_anchor = context.new_anchor()
    marker: Tokens = [("est-ce", marker_anchor), ("que", marker_anchor)]
    if node.ask == "whether":
        context.tags.add("question-yes-no")
        french, english = clause(context, node.clause, question=marker_anchor)
        return marker + french, english
    context.tags.add("question-wh")
    if node.focus is not None:
        focus_french, focus_english = noun_phrase(context, node.focus, None, False)
        french, english = clause(
            context, node.clause, preceding_object=features(node.focus).gender_number, question=marker_anchor
        )
        return focus_french + marker + french, focus_english + english
    french_word, english_word = QUESTION_WORDS[node.ask]
    french, english = clause(context, node.clause, question=marker_anchor)
    if node.ask == "to whom":
        to = context.new_anchor()
        return [("à", to), (french_word, question_anchor), *marker, *french], [
            (english_word, question_anchor),
            *english,
            ("to", to),
        ]
    return [(french_word, question_anchor), *marker, *french], [(english_word, question_anchor), *english]
