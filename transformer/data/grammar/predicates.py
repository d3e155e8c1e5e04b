"""Predicates: what follows the subject, in both languages, without the finite verb of the clause."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import HE, THEY, Features
from transformer.data.grammar.draft import Draft, Phrase, Token, Tokens
from transformer.data.grammar.english import COMPARATIVES, indefinite_article
from transformer.data.grammar.lexicon import COPULA_AVOIR, COPULA_ETRE, DEGREES
from transformer.data.grammar.lexicon.entries import Adjective, Verb
from transformer.data.grammar.nodes import (
    Act,
    Be,
    Comparison,
    Control,
    Existence,
    Located,
    Nominal,
    NounPhrase,
    Occupation,
    Pronoun,
)
from transformer.data.grammar.phrases import attach, nominal, place
from transformer.data.grammar.verb_group import MODALS, REFLEXIVE

SUBJECT_FRENCH = (("je",) * 4, (), ("il", "elle"), ("nous",) * 4, ("vous",) * 4, ("", "", "ils", "elles"))
SUBJECT_ENGLISH = {0: "I", 3: "we", 4: "you", 5: "they"}
DIRECT_FRENCH = (("me",) * 4, (), ("le", "la"), ("nous",) * 4, ("vous",) * 4, ("", "", "les", "les"))
INDIRECT_FRENCH = ("me", "", "lui", "nous", "vous", "leur")
OBJECT_ENGLISH = {0: "me", 3: "us", 4: "you", 5: "them"}

# A predicate without a clause inside it.
Simple = Act | Be | Occupation | Located | Existence | Comparison | Control


class Core(NamedTuple):
    """A predicate without its finite verb."""

    verb: Verb
    clitics: Tokens  # French pronouns before the verb
    preceding: int | None  # gender and number of a direct object that stands before the verb
    french: Tokens
    english: Tokens


def subject_pronoun(draft: Draft, pronoun: Pronoun) -> Phrase:
    """Returns the pronoun as a subject."""
    anchor = draft.fresh()
    slot, gender_number, human = pronoun.features
    if pronoun.bound:
        draft.tags.add("coreference")
    english = SUBJECT_ENGLISH.get(slot) or (("he", "she")[gender_number & 1] if human else "it")
    return [(SUBJECT_FRENCH[slot][gender_number], anchor)], [(english, anchor)]


def _object_pronoun(draft: Draft, pronoun: Pronoun, to: int) -> tuple[Token, Token]:
    """Returns the French clitic and the English pronoun; `to` is the anchor of the "à" that "lui" includes, or 0."""
    anchor = draft.fresh()
    slot, gender_number, human = pronoun.features
    draft.tags.add("object-pronoun")
    if pronoun.bound:
        draft.tags.add("coreference")
    english = OBJECT_ENGLISH.get(slot) or (("him", "her")[gender_number & 1] if human else "it")
    if to:
        return (INDIRECT_FRENCH[slot], (anchor, to)), (english, anchor)
    return (DIRECT_FRENCH[slot][gender_number], anchor), (english, anchor)


def _act(draft: Draft, act: Act, verb_anchor: int, who: Features, negated: bool) -> Core:
    """Returns the objects of a verb: French pronouns apart, everything else in the order it is said."""
    verb = act.verb
    extra_anchor = preposition_anchor = verb_anchor
    if verb.copular:  # "a peur de" = "is afraid of"
        extra_anchor, preposition_anchor = draft.fresh(), draft.fresh()
    elif verb.particle and verb.french_preposition:
        preposition_anchor = draft.fresh()
    french: Tokens = [(verb.extra, extra_anchor)] if verb.extra else []
    english: Tokens = [(word, preposition_anchor) for word in verb.particle]
    if verb.copular:
        english[0] = (verb.particle[0], extra_anchor)
    inner = Core(verb, [], None, french, english)
    if act.object is not None:
        inner = _with_object(draft, inner, act.object, preposition_anchor, who, negated)
    return inner if act.recipient is None else _with_recipient(draft, inner, act.recipient, who)


def _with_object(
    draft: Draft, inner: Core, node: Nominal, preposition_anchor: int, who: Features, negated: bool
) -> Core:
    """Returns the predicate with its object, direct or after "à" or "de"."""
    preposition = inner.verb.french_preposition
    if isinstance(node, Pronoun):
        indirect = preposition == "à"
        clitic, word = _object_pronoun(draft, node, preposition_anchor if indirect else 0)
        preceding = None if indirect else node.features.gender_number
        return inner._replace(clitics=[clitic], preceding=preceding, english=[*inner.english, word])
    french, english = nominal(draft, node, who, negated and not preposition)
    if preposition:
        french = attach(draft, [(preposition, preposition_anchor)], french)
    return inner._replace(french=inner.french + french, english=inner.english + english)


def _with_recipient(draft: Draft, inner: Core, node: NounPhrase | Pronoun, who: Features) -> Core:
    """Returns the predicate with the person something is given to."""
    to = draft.fresh()
    if isinstance(node, Pronoun):
        clitic, word = _object_pronoun(draft, node, to)
        # me, nous, vous before le, la, les; these before lui, leur
        clitics = [*inner.clitics, clitic] if node.features.slot in (HE, THEY) else [clitic, *inner.clitics]
        return inner._replace(clitics=clitics, english=[*inner.english, ("to", to), word])
    french, english = nominal(draft, node, who)
    french = attach(draft, [("à", to)], french)
    return inner._replace(french=inner.french + french, english=[*inner.english, ("to", to), *english])


def infinitive(draft: Draft, act: Act, who: Features, to: int | None, doing: bool = False) -> Phrase:
    """Returns an infinitive with its objects.

    Args:
        draft: the realisation in progress.
        act: what is done.
        who: the features of the one who does it, for a reflexive pronoun or a possessive.
        to: the anchor of the English "to" before the verb, 0 for the verb's own, None for a bare infinitive.
        doing: whether English has the form in -ing.
    """
    anchor = draft.fresh()
    draft.tags.add("infinitive")
    verb = act.verb
    inner = _act(draft, act, anchor, who, False)
    french: Tokens = [(REFLEXIVE[who.slot], anchor)] if verb.reflexive else []
    english: Tokens = [] if to is None else [("to", to or anchor)]
    french += [*inner.clitics, (verb.french.infinitive, anchor), *inner.french]
    english += [(verb.participle if doing else verb.base, anchor), *inner.english]
    return french, english


def core(draft: Draft, node: Simple, anchor: int, who: Features, negated: bool) -> Core:
    """Returns everything of a predicate but its finite verb, whose anchor is given."""
    if isinstance(node, Act):
        return _act(draft, node, anchor, who, negated)
    if isinstance(node, Be):
        return _be(draft, node, who)
    if isinstance(node, Control):
        return _control(draft, node, anchor, who)
    if isinstance(node, Located):
        return Core(COPULA_ETRE, [], None, *place(draft, node.place, who))
    if isinstance(node, Existence):
        french, english = nominal(draft, node.nominal, None, negated)
        place_french, place_english = place(draft, node.place, who)
        return Core(COPULA_AVOIR, [("y", anchor)], None, french + place_french, english + place_english)
    if isinstance(node, Comparison):
        return _comparison(draft, node, who)
    said = draft.fresh()
    job = node.noun.english[0]
    return Core(COPULA_ETRE, [], None, [(node.noun.french[0], said)], [(indefinite_article(job), said), (job, said)])


def _be(draft: Draft, node: Be, who: Features) -> Core:
    """Returns "très fatiguée", "peur", "en colère"."""
    french, english = draft.fixed(DEGREES[node.degree]) if node.degree else ([], [])
    said = draft.fresh()
    if isinstance(node.property, Adjective):
        french += _agreeing(draft, node.property, who, said)
        return Core(COPULA_ETRE, [], None, french, [*english, (node.property.english, said)])
    french += [(word, said) for word in node.property.french]
    english += [(word, said) for word in node.property.english]
    return Core(COPULA_AVOIR if node.property.avoir else COPULA_ETRE, [], None, french, english)


def _agreeing(draft: Draft, adjective: Adjective, who: Features, anchor: int) -> Tokens:
    """Returns a French adjective that agrees with the subject."""
    words = adjective.forms[who.gender_number]
    if who.gender_number & 1 and words != adjective.forms[who.gender_number - 1]:
        draft.tags.add("agreement-gender")
    return [(word, anchor) for word in words]


def _control(draft: Draft, node: Control, anchor: int, who: Features) -> Core:
    """Returns the infinitive after "vouloir", "essayer de", ... and the particles between."""
    verb = node.verb
    to = None if verb.base in MODALS else draft.fresh() if verb.french_preposition else 0
    french, english = infinitive(draft, node.act, who, to)
    if verb.french_preposition:
        french = [(verb.french_preposition, to or anchor), *french]
    if verb.extra:
        french = [(verb.extra, anchor), *french]
    return Core(verb, [], None, french, english)


def _comparison(draft: Draft, node: Comparison, who: Features) -> Core:
    """Returns "plus grand que Paul", "taller than Paul"."""
    draft.tags.add("comparison")
    more, said, than = draft.fresh(), draft.fresh(), draft.fresh()
    french, english = nominal(draft, node.standard, who)
    short = COMPARATIVES.get(node.adjective.english)
    words: Tokens = [(short, (more, said))] if short else [("more", more), (node.adjective.english, said)]
    adjective = _agreeing(draft, node.adjective, who, said)
    french = [("plus", more), *adjective, ("que", than), *french]
    return Core(COPULA_ETRE, [], None, french, [*words, ("than", than), *english])
