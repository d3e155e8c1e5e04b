"""Weights for the content hash: entries that a reader of one language could confuse share a weight.

"lit" is a bed and a form of "lire". "play" takes an instrument or nothing. Entries that share a surface form in French
or in English, directly or through others, form one class with one weight. The weight is 0 if a form of the class is
also a grammar word ("a", "have"). Each occurrence of a form in a text therefore adds the same weight, whatever it
stands for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from transformer.data.grammar.lexicon.entries import LexicalEntry
from transformer.data.grammar.tables import one_of, read_table

# Lower-case words of both languages, each with the prefix "fr:" or "en:".
FUNCTION_WORDS = frozenset(
    read_table(
        "function_words.tsv",
        "language word",
        lambda row: f"{one_of(row, 'language', ('fr', 'en'))}:{row['word']}",
        key="language word",
    )
)


def form_classes(entries: Iterable[LexicalEntry], grammar_words: frozenset[str]) -> dict[str, list[LexicalEntry]]:
    """Returns class name → entries; the class "" shares a form with the grammar words and has weight 0.

    Args:
        entries: all entries with content.
        grammar_words: see the function `grammar_words`.
    """
    parent: dict[str, str] = {}  # union-find over surface forms

    def root(form: str) -> str:
        parent.setdefault(form, form)
        while parent[form] != form:
            parent[form] = parent[parent[form]]
            form = parent[form]
        return form

    entries = list(entries)
    entry_forms = [sorted(_forms(entry)) for entry in entries]
    for forms in entry_forms:
        for form in forms[1:]:
            parent[root(form)] = root(forms[0])
    weightless = {root(form) for form in grammar_words if form in parent}
    names: dict[str, str] = {}
    for form in sorted(parent):
        names.setdefault(root(form), form)
    classes: dict[str, list[LexicalEntry]] = {}
    for entry, forms in zip(entries, entry_forms, strict=True):
        representative = root(forms[0])
        classes.setdefault("" if representative in weightless else names[representative], []).append(entry)
    return classes


def assign_weights(entries: Iterable[LexicalEntry], grammar_words: frozenset[str]) -> None:
    """Sets the weight of every entry from the name of its class, so that weights do not depend on the table's order."""
    for name, members in form_classes(entries, grammar_words).items():
        weight = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") if name else 0
        for entry in members:
            entry.weight = weight


def grammar_words(entries: Iterable[LexicalEntry], uninflected: Iterable[LexicalEntry]) -> frozenset[str]:
    """Returns the words without content, in lower case with the prefix "fr:" or "en:".

    These are `FUNCTION_WORDS`, the words of uninflected phrases, and the words of an entry that do not identify it
    ("up" of "get up").
    """
    words = set(FUNCTION_WORDS)
    for entry in uninflected:
        words |= _forms(entry)
    for entry in entries:
        forms = _forms(entry)
        french_lemma = _prefixed("fr", entry.french_lemma.split())
        words |= {word for word in french_lemma if not {word, word.replace("fr:s'", "fr:")} & forms}
        words |= _prefixed("en", entry.lemma.split()) - forms
    return frozenset(words)


def _forms(entry: LexicalEntry) -> set[str]:
    return _prefixed("fr", entry.french_forms) | _prefixed("en", entry.english_forms)


def _prefixed(language: str, words: Iterable[str]) -> set[str]:
    return {f"{language}:{word.lower()}" for word in words}
