"""French conjugation: present, imperfect and future in six persons, and the past participle.

The persons 0 to 5 are je, tu, il, nous, vous, ils. Regular verbs in -er, -ir (finir) and -re (vendre) follow the rules
below, with the spelling changes of manger, commencer, acheter, jeter, espérer and nettoyer. The other verbs have a row
in `IRREGULAR`.
"""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.french import FourForms, four_forms

SixForms = tuple[str, str, str, str, str, str]

IMPERFECT_ENDINGS = ("ais", "ais", "ait", "ions", "iez", "aient")
FUTURE_ENDINGS = ("ai", "as", "a", "ons", "ez", "ont")

# infinitive: the six persons of the present | past participle | future stem
IRREGULAR = {
    "être": "suis es est sommes êtes sont|été|ser",
    "avoir": "ai as a avons avez ont|eu|aur",
    "aller": "vais vas va allons allez vont|allé|ir",
    "appartenir": "appartiens appartiens appartient appartenons appartenez appartiennent|appartenu|appartiendr",
    "apprendre": "apprends apprends apprend apprenons apprenez apprennent|appris|apprendr",
    "boire": "bois bois boit buvons buvez boivent|bu|boir",
    "comprendre": "comprends comprends comprend comprenons comprenez comprennent|compris|comprendr",
    "conduire": "conduis conduis conduit conduisons conduisez conduisent|conduit|conduir",
    "connaître": "connais connais connaît connaissons connaissez connaissent|connu|connaîtr",
    "construire": "construis construis construit construisons construisez construisent|construit|construir",
    "courir": "cours cours court courons courez courent|couru|courr",
    "croire": "crois crois croit croyons croyez croient|cru|croir",
    "découvrir": "découvre découvres découvre découvrons découvrez découvrent|découvert|découvrir",
    "décrire": "décris décris décrit décrivons décrivez décrivent|décrit|décrir",
    "détruire": "détruis détruis détruit détruisons détruisez détruisent|détruit|détruir",
    "devoir": "dois dois doit devons devez doivent|dû|devr",
    "dire": "dis dis dit disons dites disent|dit|dir",
    "disparaître": "disparais disparais disparaît disparaissons disparaissez disparaissent|disparu|disparaîtr",
    "dormir": "dors dors dort dormons dormez dorment|dormi|dormir",
    "écrire": "écris écris écrit écrivons écrivez écrivent|écrit|écrir",
    "endormir": "endors endors endort endormons endormez endorment|endormi|endormir",
    "envoyer": "envoie envoies envoie envoyons envoyez envoient|envoyé|enverr",
    "lire": "lis lis lit lisons lisez lisent|lu|lir",
    "offrir": "offre offres offre offrons offrez offrent|offert|offrir",
    "ouvrir": "ouvre ouvres ouvre ouvrons ouvrez ouvrent|ouvert|ouvrir",
    "partir": "pars pars part partons partez partent|parti|partir",
    "peindre": "peins peins peint peignons peignez peignent|peint|peindr",
    "pleuvoir": "pleus pleus pleut pleuvons pleuvez pleuvent|plu|pleuvr",
    "pouvoir": "peux peux peut pouvons pouvez peuvent|pu|pourr",
    "poursuivre": "poursuis poursuis poursuit poursuivons poursuivez poursuivent|poursuivi|poursuivr",
    "prendre": "prends prends prend prenons prenez prennent|pris|prendr",
    "promettre": "promets promets promet promettons promettez promettent|promis|promettr",
    "recevoir": "reçois reçois reçoit recevons recevez reçoivent|reçu|recevr",
    "reconnaître": "reconnais reconnais reconnaît reconnaissons reconnaissez reconnaissent|reconnu|reconnaîtr",
    "résoudre": "résous résous résout résolvons résolvez résolvent|résolu|résoudr",
    "revenir": "reviens reviens revient revenons revenez reviennent|revenu|reviendr",
    "rire": "ris ris rit rions riez rient|ri|rir",
    "savoir": "sais sais sait savons savez savent|su|saur",
    "servir": "sers sers sert servons servez servent|servi|servir",
    "sourire": "souris souris sourit sourions souriez sourient|souri|sourir",
    "suivre": "suis suis suit suivons suivez suivent|suivi|suivr",
    "traduire": "traduis traduis traduit traduisons traduisez traduisent|traduit|traduir",
    "traire": "trais trais trait trayons trayez traient|trait|trair",
    "voir": "vois vois voit voyons voyez voient|vu|verr",
    "vouloir": "veux veux veut voulons voulez veulent|voulu|voudr",
}

# The only verbs that occur in the subjunctive ("bien qu'il soit malade", "bien qu'elle ait peur").
SUBJUNCTIVE: dict[str, SixForms] = {
    "être": ("sois", "sois", "soit", "soyons", "soyez", "soient"),
    "avoir": ("aie", "aies", "ait", "ayons", "ayez", "aient"),
}


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
        ValueError: the verb is not in -er, -ir or -re and has no row in `IRREGULAR`.
    """
    if infinitive in IRREGULAR:
        present_text, participle, future_stem = IRREGULAR[infinitive].split("|")
        present = _six(present_text.split())
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
        raise ValueError(f"no conjugation for {infinitive!r}: add a row to IRREGULAR")
    participles = four_forms(participle)
    if participle == "dû":
        participles = ("dû", "due", "dus", "dues")
    return Conjugation(
        infinitive,
        present,
        _imperfect(infinitive, present[3]),
        _six([future_stem + end for end in FUTURE_ENDINGS]),
        participles,
    )


def _six(forms: list[str]) -> SixForms:
    one, two, three, four, five, six = forms
    return one, two, three, four, five, six


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
