"""Predicates in both languages: everything after the subject, without the finite verb of the clause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from transformer.data.grammar.agreement import HE, THEY, Agreement
from transformer.data.grammar.draft import AlignedPhrase, Realisation, Token, Tokens, concatenate
from transformer.data.grammar.english import COMPARATIVES, indefinite_article
from transformer.data.grammar.lexicon import COPULA_AVOIR, COPULA_ETRE, DEGREES
from transformer.data.grammar.lexicon.entries import Adjective, Verb
from transformer.data.grammar.nodes import (
    ComparativePredicate,
    ControlPredicate,
    CopularPredicate,
    ExistentialPredicate,
    LocativePredicate,
    Nominal,
    NounPhrase,
    Pronoun,
    SimplePredicate,
    VerbPhrase,
)
from transformer.data.grammar.phrases import attach_preposition, nominal, place_phrase
from transformer.data.grammar.verb_group import MODALS, REFLEXIVE

SUBJECT_FRENCH = (("je",) * 4, (), ("il", "elle"), ("nous",) * 4, ("vous",) * 4, ("", "", "ils", "elles"))
SUBJECT_ENGLISH = {0: "I", 3: "we", 4: "you", 5: "they"}
DIRECT_FRENCH = (("me",) * 4, (), ("le", "la"), ("nous",) * 4, ("vous",) * 4, ("", "", "les", "les"))
INDIRECT_FRENCH = ("me", "", "lui", "nous", "vous", "leur")
OBJECT_ENGLISH = {0: "me", 3: "us", 4: "you", 5: "them"}


class PredicateCore(NamedTuple):
    """A predicate without its finite verb."""

    verb: Verb
    french: Tokens
    english: Tokens
    clitics: Sequence[Token] = ()  # French pronouns before the verb
    preceding_object: int | None = None  # gender and number of a direct object before the verb


def subject_pronoun(context: Realisation, pronoun: Pronoun) -> AlignedPhrase:
    """Returns the pronoun as a subject."""
    anchor = context.new_anchor()
    person, gender_number, human = pronoun.features
    if pronoun.bound:
        context.tags.add("coreference")
    english = SUBJECT_ENGLISH.get(person) or (("he", "she")[gender_number & 1] if human else "it")
    return [(SUBJECT_FRENCH[person][gender_number], anchor)], [(english, anchor)]


def _object_pronoun(context: Realisation, pronoun: Pronoun, to: int) -> tuple[Token, Token]:
    """Returns the French clitic and the English pronoun; `to` is the anchor of the "à" in "lui", or 0."""
    anchor = context.new_anchor()
    person, gender_number, human = pronoun.features
    context.tags.add("object-pronoun")
    if pronoun.bound:
        context.tags.add("coreference")
    english = OBJECT_ENGLISH.get(person) or (("him", "her")[gender_number & 1] if human else "it")
    if to:
        return (INDIRECT_FRENCH[person], (anchor, to)), (english, anchor)
    return (DIRECT_FRENCH[person][gender_number], anchor), (english, anchor)


def _act(context: Realisation, act: VerbPhrase, verb_anchor: int, subject: Agreement, negated: bool) -> PredicateCore:
    """Returns the objects of a verb: French clitics separately, all other words in their order."""
    verb = act.verb
    extra_anchor = preposition_anchor = verb_anchor
    if verb.copular:  # "a peur de" = "is afraid of"
        extra_anchor, preposition_anchor = context.new_anchor(), context.new_anchor()
    elif verb.particle and verb.french_preposition:
        preposition_anchor = context.new_anchor()
    french: Tokens = [(verb.bare_noun, extra_anchor)] if verb.bare_noun else []
    english: Tokens = [(word, preposition_anchor) for word in verb.particle]
    if verb.copular:
        english[0] = (verb.particle[0], extra_anchor)
    inner = PredicateCore(verb, french, english)
    if act.object is not None:
        inner = _with_object(context, inner, act.object, preposition_anchor, subject, negated)
    return inner if act.recipient is None else _with_recipient(context, inner, act.recipient, subject)


def _with_object(
    context: Realisation,
    inner: PredicateCore,
    node: Nominal,
    preposition_anchor: int,
    subject: Agreement,
    negated: bool,
) -> PredicateCore:
    """Returns the predicate with its object, direct or after "à" or "de"."""
    preposition = inner.verb.french_preposition
    if isinstance(node, Pronoun):
        indirect = preposition == "à"
        clitic, word = _object_pronoun(context, node, preposition_anchor if indirect else 0)
        preceding_object = None if indirect else node.features.gender_number
        return inner._replace(clitics=[clitic], preceding_object=preceding_object, english=[*inner.english, word])
    words = nominal(context, node, subject, negated and not preposition)
    if preposition:
        words = attach_preposition(context, ([(preposition, preposition_anchor)], []), words)
    return inner._replace(french=inner.french + words[0], english=inner.english + words[1])


def _with_recipient(
    context: Realisation, inner: PredicateCore, node: NounPhrase | Pronoun, subject: Agreement
) -> PredicateCore:
    """Returns the predicate with its recipient."""
    to = context.new_anchor()
    if isinstance(node, Pronoun):
        clitic, word = _object_pronoun(context, node, to)
        # me, nous, vous before le, la, les; these before lui, leur
        clitics = [*inner.clitics, clitic] if node.features.person in (HE, THEY) else [clitic, *inner.clitics]
        return inner._replace(clitics=clitics, english=[*inner.english, ("to", to), word])
    preposition: AlignedPhrase = [("à", to)], [("to", to)]
    french, english = attach_preposition(context, preposition, nominal(context, node, subject))
    return inner._replace(french=inner.french + french, english=inner.english + english)


def infinitive(
    context: Realisation, act: VerbPhrase, subject: Agreement, to: int | None, doing: bool = False
) -> AlignedPhrase:
    """Returns an infinitive with its objects.

    Args:
        context: the realisation in progress.
        act: the verb and its objects.
        subject: features of the understood subject, for a reflexive pronoun or a possessive.
        to: the anchor of the English "to" before the verb, 0 for the anchor of the verb, None for a bare infinitive.
        doing: whether English uses the form in -ing.
    """
    anchor = context.new_anchor()
    context.tags.add("infinitive")
    verb = act.verb
    inner = _act(context, act, anchor, subject, False)
    french: Tokens = [(REFLEXIVE[subject.person], anchor)] if verb.reflexive else []
    english: Tokens = [] if to is None else [("to", to or anchor)]
    french += [*inner.clitics, (verb.french.infinitive, anchor), *inner.french]
    english += [(verb.present_participle if doing else verb.base, anchor), *inner.english]
    return french, english


def predicate_core(
    context: Realisation, node: SimplePredicate, anchor: int, subject: Agreement, negated: bool
) -> PredicateCore:
    """Returns a predicate without its finite verb, which has the given anchor."""
    if isinstance(node, VerbPhrase):
        return _act(context, node, anchor, subject, negated)
    if isinstance(node, CopularPredicate):
        return _be(context, node, subject)
    if isinstance(node, ControlPredicate):
        return _control(context, node, anchor, subject)
    if isinstance(node, LocativePredicate):
        return PredicateCore(COPULA_ETRE, *place_phrase(context, node.place, subject))
    if isinstance(node, ExistentialPredicate):
        words = concatenate(nominal(context, node.nominal, None, negated), place_phrase(context, node.place, subject))
        return PredicateCore(COPULA_AVOIR, *words, clitics=[("y", anchor)])
    if isinstance(node, ComparativePredicate):
        return _comparison(context, node, subject)
    french, english = context.word(node.noun.french[0], node.noun.english[0])
    job, job_anchor = english[0]
    return PredicateCore(COPULA_ETRE, french, [(indefinite_article(job), job_anchor), *english])


def _be(context: Realisation, node: CopularPredicate, subject: Agreement) -> PredicateCore:
    """Returns "très fatiguée", "peur", "en colère"."""
    french, english = context.uninflected(DEGREES[node.degree] if node.degree else None)
    word_anchor = context.new_anchor()
    if isinstance(node.property, Adjective):
        french += _agreeing(context, node.property, subject, word_anchor)
        return PredicateCore(COPULA_ETRE, french, [*english, (node.property.english, word_anchor)])
    french += [(word, word_anchor) for word in node.property.french]
    english += [(word, word_anchor) for word in node.property.english]
    return PredicateCore(COPULA_AVOIR if node.property.with_avoir else COPULA_ETRE, french, english)


def _agreeing(context: Realisation, adjective: Adjective, subject: Agreement, anchor: int) -> Tokens:
    """Returns a French adjective that agrees with the subject."""
    words = adjective.forms[subject.gender_number]
    if subject.gender_number & 1 and words != adjective.forms[subject.gender_number - 1]:
        context.tags.add("agreement-gender")
    return [(word, anchor) for word in words]


def _control(context: Realisation, node: ControlPredicate, anchor: int, subject: Agreement) -> PredicateCore:
    """Returns the infinitive after "vouloir", "essayer de", ... and the particles between."""
    verb = node.verb
    to = None if verb.base in MODALS else context.new_anchor() if verb.french_preposition else 0
    french, english = infinitive(context, node.act, subject, to)
    if verb.french_preposition:
        french = [(verb.french_preposition, to or anchor), *french]
    if verb.bare_noun:
        french = [(verb.bare_noun, anchor), *french]
    return PredicateCore(verb, french, english)


def _comparison(context: Realisation, node: ComparativePredicate, subject: Agreement) -> PredicateCore:
    """Returns "plus grand que Paul", "taller than Paul"."""
    context.tags.add("comparison")
    more, word_anchor, than = context.new_anchor(), context.new_anchor(), context.new_anchor()
    french, english = nominal(context, node.standard, subject)
    short = COMPARATIVES.get(node.adjective.english)
    words: Tokens = [(short, (more, word_anchor))] if short else [("more", more), (node.adjective.english, word_anchor)]
    adjective = _agreeing(context, node.adjective, subject, word_anchor)
    french = [("plus", more), *adjective, ("que", than), *french]
    return PredicateCore(COPULA_ETRE, french, [*words, ("than", than), *english])
