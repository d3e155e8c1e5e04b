"""Reading the data tables: one function for each kind of line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from transformer.data.grammar import english, french
from transformer.data.grammar.conjugation import conjugate
from transformer.data.grammar.lexicon.entries import Adjective, Fixed, Noun, State, Verb

ETRE_VERBS = frozenset("aller arriver partir tomber revenir rester entrer retourner".split())

# A list of kinds, aliases and lemmas, as words → as kinds and lemmas, or → as the nouns it names.
Expand = Callable[[str], frozenset[str]]
NounsOf = Callable[[str], tuple[Noun, ...]]


def items(text: str) -> Iterator[str]:
    """Yields the stripped, non-empty entries of a table separated by semicolons."""
    for item in text.split(";"):
        stripped = " ".join(item.split())
        if stripped:
            yield stripped


def lines(text: str) -> Iterator[list[str]]:
    """Yields the fields of each line of a table: separated by a colon between spaces."""
    for line in text.splitlines():
        if line.strip():
            yield [part.strip() for part in f" {line} ".split(" : ")]


def fixed(item: str, kinds: frozenset[str] = frozenset()) -> Fixed:
    """Reads "english [label] = french : links"."""
    pair, _, links_text = item.partition(" : ")
    left, right = pair.split(" = ")
    english_words = left.partition(" [")[0].split()
    french_words = right.split()
    links = [(int(f), int(e)) for f, e in (link.split("-") for link in links_text.split())]

    def anchors(side: int, position: int) -> int | tuple[int, ...]:
        if not links:
            return 1
        return tuple(k + 1 for k, link in enumerate(links) if link[side] == position)

    return Fixed(
        lemma=left.replace("[", "").replace("]", ""),
        french_lemma=right,
        kinds=kinds,
        french_key=frozenset(french_words),
        english_key=frozenset(english_words),
        french=tuple((word, anchors(0, i)) for i, word in enumerate(french_words)),
        english=tuple((word, anchors(1, i)) for i, word in enumerate(english_words)),
        span=len(links) or 1,
        linked=bool(links),
    )


def fixed_table(text: str, kinds: frozenset[str] = frozenset()) -> dict[str, Fixed]:
    """Reads uninflected phrases separated by semicolons."""
    return {entry.lemma: entry for entry in (fixed(item, kinds) for item in items(text))}


def noun(item: str, group: str) -> Noun:
    """Reads "english[/plural]=french gender [+kind ...]"; `group` holds the kinds shared with its neighbours."""
    head, *more = item.split(" +")
    left, right = head.split("=")
    singular, _, plural = left.partition("/")
    french_singular, gender = right.split()
    kinds = frozenset([*group.split(), *more])
    forms = singular, plural or english.add_s(singular)
    french_forms = french_singular, french.pluralize(french_singular)
    places: dict[str, Fixed] = {}
    for kind in kinds:
        role, _, pair = kind.partition(":")
        if pair:
            there, here = pair.split("=")
            places[role] = fixed(f"{here} = {there}")
    return Noun(
        lemma=singular,
        french_lemma=french_singular,
        kinds=kinds | {singular},
        french_key=frozenset(french_forms),
        english_key=frozenset(forms),
        english=forms,
        french=french_forms,
        feminine=int(gender == "f"),
        human="person" in kinds,
        mass="mass" in kinds,
        name=False,
        where=places.get("loc"),
        goal=places.get("dest"),
    )


def name(item: str) -> Noun:
    """Reads "Marie f"."""
    word, gender = item.split()
    key = frozenset({word})
    return Noun(
        lemma=word,
        french_lemma=word,
        kinds=frozenset({"person", "grown", "name", word}),
        french_key=key,
        english_key=key,
        english=(word, word),
        french=(word, word),
        feminine=int(gender == "f"),
        human=True,
        mass=False,
        name=True,
    )


def region(item: str) -> Noun:
    """Reads "english=french|where one is or goes|where one comes back from|article"."""
    lemma, rest = item.split("=")
    word, into, origin, article = rest.split("|")
    return Noun(
        lemma=lemma,
        french_lemma=word,
        kinds=frozenset({"region", lemma}),
        french_key=frozenset({word}),
        english_key=frozenset({lemma}),
        english=(lemma, lemma),
        french=(word, word),
        feminine=int(article == "la"),
        human=False,
        mass=False,
        name=True,
        where=fixed(f"in = {into}"),
        goal=fixed(f"to = {into}"),
        origin=fixed(f"from = {origin}"),
        article=article,
    )


def adjective(fields: list[str], expand: Expand) -> Adjective:
    """Reads "english = french position", "what it fits"; "_" joins the words of a phrase that does not agree."""
    pair, fits = fields
    lemma, right = pair.split(" = ")
    french_lemma, position = right.split()
    before_vowel = french.BEFORE_VOWEL.get(french_lemma, "")
    if "_" in french_lemma:
        forms: tuple[tuple[str, ...], ...] = (tuple(french_lemma.split("_")),) * 4
    else:
        forms = tuple((form,) for form in french.four_forms(french_lemma))
    return Adjective(
        lemma=lemma,
        french_lemma=french_lemma,
        kinds=expand(fits),
        french_key=frozenset(words[-1] for words in forms) | ({before_vowel} - {""}),
        english_key=frozenset({lemma, english.COMPARATIVES.get(lemma, lemma)}),
        english=lemma,
        forms=forms,
        before_vowel=before_vowel,
        prenominal=position in ("pre", "beside"),
        attributive=position != "pred",
        predicative=position != "beside",
    )


def state(fields: list[str], expand: Expand) -> State:
    """Reads "english = avoir noun" or "english = être phrase", "whom it fits"."""
    pair, fits = fields
    lemma, right = pair.split(" = ")
    head, *words = right.split()
    english_words = tuple(lemma.split())
    return State(
        lemma=lemma,
        french_lemma=right,
        kinds=expand(fits),
        french_key=frozenset(words[-1:]),
        english_key=frozenset(english_words[-1:]),
        avoir=head == "avoir",
        french=tuple(words),
        english=english_words,
    )


def verb(fields: list[str], nouns_of: NounsOf) -> Verb:
    """Reads "english [label] particle = french preposition", aspect, "frames @ places"; see verbs.py."""
    pair, aspect, rest = fields
    left, right = pair.split(" = ")
    labels = [word.strip("[]") for word in left.split() if word.startswith("[")]
    base, *particle = [word for word in left.split() if not word.startswith("[")]
    french_words = right.removeprefix("se ").split()
    infinitive = french_words[0].removeprefix("s'")
    reflexive = right.startswith(("se ", "s'"))
    extra = french_words[1] if infinitive == "avoir" and len(french_words) > 1 else ""
    preposition = "".join(french_words[1 + bool(extra) :])
    forms = conjugate(infinitive)
    english_forms = base, english.third_person(base), english.past(base), english.present_participle(base)
    copular = base == "be"
    frames, _, places = rest.partition("@")
    return Verb(
        lemma=" ".join([base, *(labels or particle)]),
        french_lemma=right,
        kinds=frozenset(),
        french_key=frozenset({extra})
        if extra
        else frozenset({infinitive, *forms.present, *forms.imperfect, *forms.future, *forms.participle}),
        english_key=frozenset(particle[:1] if copular else english_forms),
        french=forms,
        etre=infinitive in ETRE_VERBS or reflexive,
        reflexive=reflexive,
        extra=extra,
        french_preposition=preposition,
        base=base,
        third=english_forms[1],
        past=english_forms[2],
        participle=english_forms[3],
        particle=tuple(particle),
        copular=copular,
        aspect=aspect,
        frames=tuple(_frame(frame, nouns_of) for frame in frames.split("|")),
        places=nouns_of(places),
    )


def _frame(text: str, nouns_of: NounsOf) -> tuple[tuple[Noun, ...], tuple[Noun, ...]]:
    subjects, _, objects = text.partition(">")
    return () if subjects.strip() == "weather" else nouns_of(subjects), nouns_of(objects)
