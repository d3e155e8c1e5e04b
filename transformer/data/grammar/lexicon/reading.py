"""Converts the rows of the lexicon's tables to entries: one function for each kind of row (see README.md)."""

from __future__ import annotations

from collections.abc import Callable

from transformer.data.grammar import english, french
from transformer.data.grammar.conjugation import conjugate
from transformer.data.grammar.lexicon.entries import Adjective, Noun, StativePhrase, UninflectedPhrase, Verb
from transformer.data.grammar.tables import Row, one_of

ETRE_VERBS = frozenset("aller arriver partir tomber revenir rester entrer retourner".split())
GENDERS = ("m", "f")
POSITIONS = ("before", "after", "only before", "only predicate")
ASPECTS = ("activity", "perception", "event", "state")

# Converts a list of kinds, lemmas and aliases: to kinds and lemmas, or to the nouns that have them.
ParseKinds = Callable[[str], frozenset[str]]
SelectNouns = Callable[[str], tuple[Noun, ...]]


def uninflected(
    english_text: str, french_text: str, label: str = "", links: str = "", kinds: frozenset[str] = frozenset()
) -> UninflectedPhrase:
    """Returns an uninflected phrase; `links` aligns its words ("0-1 1-0"), "" aligns all words with each other."""
    english_words, french_words = english_text.split(), french_text.split()
    pairs = [_link(link, len(french_words), len(english_words)) for link in links.split()]

    def anchors(side: int, position: int) -> int | tuple[int, ...]:
        if not pairs:
            return 1
        return tuple(k + 1 for k, pair in enumerate(pairs) if pair[side] == position)

    return UninflectedPhrase(
        lemma=f"{english_text} {label}".strip(),
        french_lemma=french_text,
        kinds=kinds,
        french_forms=frozenset(french_words),
        english_forms=frozenset(english_words),
        french=tuple((word, anchors(0, i)) for i, word in enumerate(french_words)),
        english=tuple((word, anchors(1, i)) for i, word in enumerate(english_words)),
        num_anchors=len(pairs) or 1,
        linked=bool(pairs),
    )


def _link(text: str, num_french: int, num_english: int) -> tuple[int, int]:
    french_index, separator, english_index = text.partition("-")
    if not (separator and french_index.isdecimal() and english_index.isdecimal()):
        raise ValueError(f"the link {text!r} must be FRENCH-ENGLISH, two word indices from 0")
    link = int(french_index), int(english_index)
    if link[0] >= num_french or link[1] >= num_english:
        raise ValueError(f"the link {text!r} is out of range: {num_french} French and {num_english} English words")
    return link


def noun(row: Row) -> Noun:
    """Returns the noun of a row of nouns.tsv."""
    singular, french_singular = row["english"], row["french"]
    forms = singular, row["english_plural"] or english.add_s(singular)
    french_forms = french_singular, french.pluralize(french_singular)
    kinds = frozenset(row["kinds"].split())
    return Noun(
        lemma=singular,
        french_lemma=french_singular,
        kinds=kinds | {singular},
        french_forms=frozenset(french_forms),
        english_forms=frozenset(forms),
        english=forms,
        french=french_forms,
        feminine=_feminine(row),
        human="person" in kinds,
        mass="mass" in kinds,
        name=False,
        location=_preposition(row, "location"),
        destination=_preposition(row, "destination"),
    )


def _feminine(row: Row) -> int:
    return GENDERS.index(one_of(row, "gender", GENDERS))


def _preposition(row: Row, column: str) -> UninflectedPhrase | None:
    if not row[column]:
        return None
    english_text, separator, french_text = row[column].partition(" = ")
    if not separator:
        raise ValueError(f'the column {column!r} is {row[column]!r}; it must be "ENGLISH = FRENCH", as in "in = dans"')
    return uninflected(english_text, french_text)


def name(row: Row) -> Noun:
    """Returns the name of a row of names.tsv, which is the same in both languages."""
    kinds = frozenset({"person", "grown", "name"})
    return _proper_noun(row["name"], row["name"], kinds, _feminine(row))


def region(row: Row) -> Noun:
    """Returns the city or country of a row of regions.tsv."""
    region = _proper_noun(row["english"], row["french"], frozenset({"region"}), int(row["article"] == "la"))
    region.location = uninflected("in", row["in_or_to"])
    region.destination = uninflected("to", row["in_or_to"])
    region.origin = uninflected("from", row["from"])
    region.article = row["article"]
    return region


def _proper_noun(lemma: str, french_lemma: str, kinds: frozenset[str], feminine: int) -> Noun:
    return Noun(
        lemma=lemma,
        french_lemma=french_lemma,
        kinds=kinds | {lemma},
        french_forms=frozenset({french_lemma}),
        english_forms=frozenset({lemma}),
        english=(lemma, lemma),
        french=(french_lemma, french_lemma),
        feminine=feminine,
        human="person" in kinds,
        mass=False,
        name=True,
    )


def adjective(row: Row, parse_kinds: ParseKinds, select_nouns: SelectNouns) -> Adjective:
    """Returns the adjective of a row of adjectives.tsv; a phrase of several French words does not agree."""
    lemma, french_lemma = row["english"], row["french"]
    position = one_of(row, "position", POSITIONS)
    before_vowel = french.BEFORE_VOWEL.get(french_lemma, "")
    if " " in french_lemma:
        forms: tuple[tuple[str, ...], ...] = (tuple(french_lemma.split()),) * 4
    else:
        forms = tuple((form,) for form in french.four_forms(french_lemma))
    return Adjective(
        lemma=lemma,
        french_lemma=french_lemma,
        kinds=parse_kinds(row["fits"]),
        french_forms=frozenset(words[-1] for words in forms) | ({before_vowel} - {""}),
        english_forms=frozenset({lemma, english.COMPARATIVES.get(lemma, lemma)}),
        english=lemma,
        forms=forms,
        before_vowel=before_vowel,
        prenominal=position in ("before", "only before"),
        attributive=position != "only predicate",
        predicative=position != "only before",
        not_attributive_with=select_nouns(row["not_attributive_with"]),
    )


def stative_phrase(row: Row, parse_kinds: ParseKinds) -> StativePhrase:
    """Returns the predicate of a row of states.tsv."""
    auxiliary = one_of(row, "auxiliary", ("avoir", "être"))
    english_words, french_words = tuple(row["english"].split()), tuple(row["french"].split())
    return StativePhrase(
        lemma=row["english"],
        french_lemma=f"{auxiliary} {row['french']}",
        kinds=parse_kinds(row["fits"]),
        french_forms=frozenset(french_words[-1:]),
        english_forms=frozenset(english_words[-1:]),
        with_avoir=auxiliary == "avoir",
        french=french_words,
        english=english_words,
    )


def verb(row: Row, select_nouns: SelectNouns) -> Verb:
    """Returns the verb of a row of verbs.tsv."""
    base, *particle = row["english"].split()
    french_words = row["french"].removeprefix("se ").split()
    infinitive = french_words[0].removeprefix("s'")
    reflexive = row["french"].startswith(("se ", "s'"))
    bare_noun = french_words[1] if infinitive == "avoir" and len(french_words) > 1 else ""
    forms = conjugate(infinitive)
    french_forms = {infinitive, *forms.present, *forms.imperfect, *forms.future, *forms.participle}
    english_forms = base, english.third_person(base), english.past(base), english.present_participle(base)
    copular = base == "be"
    return Verb(
        lemma=" ".join([base, *([row["label"]] if row["label"] else particle)]),
        french_lemma=row["french"],
        kinds=frozenset(),
        french_forms=frozenset({bare_noun} if bare_noun else french_forms),
        english_forms=frozenset(particle[:1] if copular else english_forms),
        french=forms,
        with_etre=infinitive in ETRE_VERBS or reflexive,
        reflexive=reflexive,
        bare_noun=bare_noun,
        french_preposition="".join(french_words[1 + bool(bare_noun) :]),
        base=base,
        third_person=english_forms[1],
        past=english_forms[2],
        present_participle=english_forms[3],
        particle=tuple(particle),
        copular=copular,
        aspect=one_of(row, "aspect", ASPECTS),
        frames=tuple(_frame(frame, select_nouns) for frame in row["frames"].split("|")),
        places=select_nouns(row["places"]),
    )


def _frame(text: str, select_nouns: SelectNouns) -> tuple[tuple[Noun, ...], tuple[Noun, ...]]:
    subjects, _, objects = text.partition(">")
    return select_nouns(subjects), select_nouns(objects)
