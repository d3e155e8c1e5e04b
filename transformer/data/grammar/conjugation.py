"""French conjugation: present, imperfect and future in six persons, and the past participle.

The persons 0 to 5 are je, tu, il, nous, vous, ils. Regular verbs in -er, -ir (finir) and -re (vendre) follow the rules
below, with the spelling changes of manger, commencer, acheter, jeter, espérer and nettoyer. The other verbs have a row
in lexicon/irregular_conjugation.tsv.
"""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.french import FourForms, four_forms
from transformer.data.grammar.tables import read_mapping

SixForms = tuple[str, str, str, str, str, str]

IMPERFECT_ENDINGS = ("ais", "ais", "ait", "ions", "iez", "aient")
FUTURE_ENDINGS = ("ai", "as", "a", "ons", "ez", "ont")

# The only verbs that occur in the subjunctive ("bien qu'il soit malade", "bien qu'elle ait peur").
SUBJUNCTIVE: dict[str, SixForms] = {
    "être": ("sois", "sois", "soit", "soyons", "soyez", "soient"),
    "avoir": ("aie", "aies", "ait", "ayons", "ayez", "aient"),
}


def _six(forms: list[str]) -> SixForms:
    one, two, three, four, five, six = forms
    return one, two, three, four, five, six


# infinitive → the six persons of the present, past participle, future stem
IRREGULAR = read_mapping(
    "irregular_conjugation.tsv",
    "infinitive present participle future_stem",
    lambda row: (_six(row["present"].split()), row["participle"], row["future_stem"]),
)


class Conjugation(NamedTuple):
    """The forms of one verb; `participle` is indexed by gender and number, the others by person."""

    infinitive: str
    present: SixForms
    imperfect: SixForms
    future: SixForms
    participle: FourForms


def conjugate(infinitive: str) -> Conjugation:
    """Returns the forms of a verb, which is given without a reflexive pronoun.

    Raises:
      ValueError: the verb is not in -er, -ir or -re and has no row in lexicon/irregular_conjugation.tsv.
    """
    if infinitive in IRREGULAR:
        present, participle, future_stem = IRREGULAR[infinitive]
    elif infinitive.endswith("er"):
        present, participle, future_stem = _first_group(infinitive)
    elif infinitive.endswith("ir"):
        stem = infinitive[:-2]
        present = _six([stem + end for end in ("is", "is", "it", "issons", "issez", "issent")])
        participle, future_stem = stem + "i", infinitive
    elif infinitive.endswith("re"):
        stem = infinitive[:-2]
        present = _six([stem + end for end in ("s", "s", "", "ons", "ez", "ent")])
        participle, future_stem = stem + "u", infinitive[:-1]
    else:
        raise ValueError(f"no conjugation for {infinitive!r}: add a row to lexicon/irregular_conjugation.tsv")
    participles = four_forms(participle)
    if participle == "dû":
        participles = ("dû", "due", "dus", "dues")
    future = _six([future_stem + end for end in FUTURE_ENDINGS])
    return Conjugation(infinitive, present, _imperfect(infinitive, present[3]), future, participles)


def _first_group(infinitive: str) -> tuple[SixForms, str, str]:
    """Returns the present, the participle and the future stem of a verb in -er."""
    stem = infinitive[:-2]
    strong = stem  # before a silent ending
    weak_nous = stem
    future_stem = infinitive
    if stem.endswith(("ay", "oy", "uy")):
        strong = stem[:-1] + "i"
        future_stem = strong + "er"
    elif stem in ("appel", "jet"):
        strong = stem + stem[-1]
        future_stem = strong + "er"
    elif stem[-2] in "eé" and stem[-1] not in "aeiouyé":
        strong = stem[:-2] + "è" + stem[-1]
        if stem[-2] == "e":  # acheter: achètera; but espérer: espérera
            future_stem = strong + "er"
    if stem.endswith("g"):
        weak_nous = stem + "e"
    elif stem.endswith("c"):
        weak_nous = stem[:-1] + "ç"
    present = _six([strong + "e", strong + "es", strong + "e", weak_nous + "ons", stem + "ez", strong + "ent"])
    return present, stem + "é", future_stem


def _imperfect(infinitive: str, nous: str) -> SixForms:
    stem = "ét" if infinitive == "être" else nous[:-3]
    forms = []
    for end in IMPERFECT_ENDINGS:
        # mangeais but mangions, commençais but commencions
        base = stem[:-1] if end[0] == "i" and infinitive.endswith("ger") else stem
        if end[0] == "i" and base.endswith("ç") and infinitive.endswith("cer"):
            base = base[:-1] + "c"
        forms.append(base + end)
    return _six(forms)
