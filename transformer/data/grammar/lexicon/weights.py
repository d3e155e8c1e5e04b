"""Weights for the content hash: entries that a reader of one language could confuse share a weight.

"lit" is a bed and a form of "lire"; "play" takes an instrument or nothing. Entries that share a surface form in French
or in English, directly or through others, form one class with one weight, and the weight is 0 if a form of the class is
also a word of the grammar ("a", "have"). So each occurrence of a form in a text adds the same weight whatever it stands
for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from transformer.data.grammar.lexicon.entries import Entry


def classes(entries: Iterable[Entry], grammar_words: frozenset[str]) -> dict[str, list[Entry]]:
    """Returns class name → entries; class "" is that of the grammar words, with weight 0.

    Args:
        entries: all entries with content.
        grammar_words: lower-case words of both languages that are no entry's, each prefixed "fr:" or "en:".
    """
    parent: dict[str, str] = {}

    def root(form: str) -> str:
        parent.setdefault(form, form)
        while parent[form] != form:
            parent[form] = parent[parent[form]]
            form = parent[form]
        return form

    everything = list(entries)
    keys = [
        ["fr:" + form.lower() for form in sorted(entry.french_key)]
        + ["en:" + form.lower() for form in sorted(entry.english_key)]
        for entry in everything
    ]
    for forms in keys:
        for form in forms[1:]:
            parent[root(form)] = root(forms[0])
    closed = {root(form) for form in grammar_words if form in parent}
    names: dict[str, str] = {}
    for form in sorted(parent):
        names.setdefault(root(form), form)
    found: dict[str, list[Entry]] = {}
    for entry, forms in zip(everything, keys, strict=True):
        top = root(forms[0])
        found.setdefault("" if top in closed else names[top], []).append(entry)
    return found


def assign(entries: Iterable[Entry], grammar_words: frozenset[str]) -> None:
    """Sets the weight of every entry from the name of its class, so that weights do not depend on the table's order."""
    for name, members in classes(entries, grammar_words).items():
        weight = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") if name else 0
        for entry in members:
            entry.weight = weight


GRAMMAR_FRENCH = """
    le la les l' un une des de d' du au aux à en ce cet cette ces mon ma mes notre nos votre vos son sa ses leur leurs
    deux trois quatre cinq dix plusieurs quelques chaque quel quelle quels quelles beaucoup combien
    je j' tu il elle nous vous ils elles me m' te se s' lui ne n' pas jamais plus que qu' qui y où quand pourquoi
    est-ce si
    pour avoir ai as a avons avez ont avais avait avions aviez avaient aurai auras aura aurons aurez auront eu eue eus
    eues
    aie aies ait ayons ayez aient être suis es est sommes êtes sont étais était étions étiez étaient serai seras sera
    serons
    serez seront été étée étés étées sois soit soyons soyez soient , . ?
"""
GRAMMAR_ENGLISH = """
    the a an some any this these my our your his her its their two three four five ten several few every which many how
    i he she it we you they me him us them not never cannot can could must will do does did be am is are was were being
    been have has had having able to of that who where when why what more than there , . ?
"""


def grammar_words(entries: Iterable[Entry], uninflected: Iterable[Entry]) -> frozenset[str]:
    """Returns the words of the grammar: those above, and those of uninflected phrases.

    The words of an entry that do not give it away ("up" of "get up") count as words of the grammar as well.
    """
    words = {"fr:" + word for word in GRAMMAR_FRENCH.split()} | {"en:" + word for word in GRAMMAR_ENGLISH.split()}
    for entry in uninflected:
        words |= {"fr:" + word.lower() for word in entry.french_key} | {
            "en:" + word.lower() for word in entry.english_key
        }
    for entry in entries:
        french = {word.lower() for word in entry.french_key}
        english = {word.lower() for word in entry.english_key}
        words |= {
            "fr:" + word for word in entry.french_lemma.lower().split() if not {word, word.removeprefix("s'")} & french
        }
        words |= {"en:" + word for word in entry.lemma.lower().split() if word not in english}
    return frozenset(words)
