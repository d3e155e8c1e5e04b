"""Complete sentences: coordination, subordination, questions, and the surface form of both languages.

An elided word ends in an apostrophe and counts as one word ("l'", "homme"); a punctuation mark is a word. The text
joins the words by spaces, except after an apostrophe that ends a word, and before a comma or a full stop. The French
question mark keeps its space, the English one does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformer.data.grammar.agreement import HE, Agreement
from transformer.data.grammar.clauses import clause, relative_clause
from transformer.data.grammar.draft import AlignedPhrase, Realisation, Tokens, concatenate
from transformer.data.grammar.french import ELIDING, elided
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.nodes import Clause, Coordination, Derivation, Question, Subordination, features
from transformer.data.grammar.phrases import nominal

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

SOMEBODY = Agreement(HE, 0, True)


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
    context = Realisation(relative_clause)
    end = "?" if isinstance(derivation, Question) else "."
    french, english = concatenate(_sentence(context, derivation), context.word(end, end))
    french_words = _french_surface(context, french)
    english_words = [word for word, _ in english]
    english_words[0] = _capitalized(english_words[0])
    texts = join_french(french_words), join_english(english_words)
    tags = frozenset(context.tags)
    return AnnotatedPair(*texts, _alignment(french, english), tags, tuple(french_words), tuple(english_words))


def join_french(words: list[str]) -> str:
    """Returns the text of French words."""
    return " ".join(words).replace("' ", "'").replace(" ,", ",").replace(" .", ".")


def join_english(words: list[str]) -> str:
    """Returns the text of English words."""
    return " ".join(words).replace(" ,", ",").replace(" .", ".").replace(" ?", "?")


def _capitalized(word: str) -> str:
    return word[0].upper() + word[1:]


def _french_surface(context: Realisation, tokens: Tokens) -> list[str]:
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
        for part in (anchor,) if isinstance(anchor, int) else anchor:
            positions.setdefault(part, []).append(j)
    positions.pop(0, None)
    links: list[tuple[int, int]] = []
    for i, (_, anchor) in enumerate(french):
        if isinstance(anchor, int):
            for j in positions.get(anchor, ()):
                links.append((i, j))
        else:
            links += [(i, j) for j in sorted({j for part in anchor for j in positions.get(part, ())})]
    return tuple(links)


def _sentence(context: Realisation, node: Derivation) -> AlignedPhrase:
    """Returns a sentence without its final punctuation mark."""
    if isinstance(node, Clause):
        return clause(context, node)
    if isinstance(node, Coordination):
        return _coordinated(context, node)
    if isinstance(node, Subordination):
        return _subordinated(context, node)
    return _question(context, node)


def _first_subject(node: Derivation) -> Agreement:
    while not isinstance(node, Clause):
        if isinstance(node, Coordination):
            node = node.first
        else:
            node = node.main if isinstance(node, Subordination) else node.clause
    if node.subject is None:
        raise ValueError("the first of two coordinated clauses needs a subject")
    return features(node.subject)


def _coordinated(context: Realisation, node: Coordination) -> AlignedPhrase:
    context.tags.add("coordination")
    first = _sentence(context, node.first)
    conjunction = context.uninflected(CONJUNCTIONS[node.conjunction])
    if node.conjunction in COMMA_BEFORE:
        conjunction = concatenate(context.word(",", ","), conjunction)
    if isinstance(node.second, Clause) and node.second.subject is None:
        second = clause(context, node.second, subject=_first_subject(node.first), shared=True)
    else:
        second = _sentence(context, node.second)
    return concatenate(first, conjunction, second)


def _subordinated(context: Realisation, node: Subordination) -> AlignedPhrase:
    context.tags.add("subordinate-clause")
    conjunction = context.uninflected(CONJUNCTIONS[node.conjunction])
    main = _sentence(context, node.main)
    subordinate = clause(context, node.subordinate)
    if node.fronted:
        return concatenate(conjunction, subordinate, context.word(",", ","), main)
    return concatenate(main, conjunction, subordinate)


def _question(context: Realisation, node: Question) -> AlignedPhrase:
    context.tags.add("question-yes-no" if node.ask == "whether" else "question-wh")
    if node.ask == "who":
        return concatenate(context.word("qui", "who"), clause(context, node.clause, subject=SOMEBODY))
    anchor = context.new_anchor()
    marker: AlignedPhrase = [("est-ce", anchor), ("que", anchor)], []
    if node.focus is not None:
        focus = nominal(context, node.focus)
        preceding_object = features(node.focus).gender_number
        inner = clause(context, node.clause, preceding_object=preceding_object, question=anchor)
        return concatenate(focus, marker, inner)
    inner = concatenate(marker, clause(context, node.clause, question=anchor))
    if node.ask == "whether":
        return inner
    inner = concatenate(context.word(*QUESTION_WORDS[node.ask]), inner)
    if node.ask == "to whom":
        to = context.new_anchor()
        return [("à", to), *inner[0]], [*inner[1], ("to", to)]
    return inner
