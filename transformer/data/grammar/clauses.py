"""Clauses: subject, verb group, negation, predicate and adverbials in the order of each language."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import Agreement
from transformer.data.grammar.draft import AlignedPhrase, Realisation, Tokens, concatenate
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.lexicon.entries import Verb
from transformer.data.grammar.nodes import (
    Clause,
    ExistentialPredicate,
    Nominal,
    NounPhrase,
    Predicate,
    Pronoun,
    ReportPredicate,
    VerbPhrase,
    features,
)
from transformer.data.grammar.phrases import nominal, place_phrase
from transformer.data.grammar.predicates import PredicateCore, infinitive, predicate_core, subject_pronoun
from transformer.data.grammar.verb_group import REFLEXIVE, TENSES, english_group, french_group


class _VerbForms(NamedTuple):
    """French finite form and participle, English auxiliary and main words of a clause, with their anchors."""

    finite: str
    participle: str
    auxiliary: str
    main: tuple[str, ...]
    anchor: int
    finite_anchor: int
    negation_anchor: int


def clause(
    context: Realisation,
    node: Clause,
    subject: Agreement | None = None,
    preceding_object: int | None = None,
    question: int = 0,
    shared: bool = False,
) -> AlignedPhrase:
    """Returns the words of a clause.

    Args:
        context: the realisation in progress.
        node: the clause.
        subject: features of a subject that the clause does not contain (in a relative clause, shared, or "who").
        preceding_object: gender and number of a direct object before the clause.
        question: the anchor of "est-ce que", if English inverts subject and auxiliary.
        shared: whether English omits a repeated auxiliary ("is singing and dancing").

    Raises:
        ValueError: neither the clause nor the caller provides a subject.
    """
    context.tags.add(TENSES[node.tense].tag)
    subject_words: AlignedPhrase = [], []
    if node.subject is not None:
        subject = features(node.subject)
        subject_words = _subject(context, node.subject, node.predicate)
    if subject is None:
        raise ValueError("a clause without a subject needs the features of the shared subject")
    anchor = context.new_anchor()
    core = _core(context, node, anchor, subject)
    if preceding_object is not None and core.preceding_object is None:
        core = core._replace(preceding_object=preceding_object)
    forms = _verb_forms(context, node, core, subject, anchor, question > 0)
    frequency, manner = context.uninflected(node.frequency), context.uninflected(node.manner)
    verb_french = _french_verb(context, node, core, subject, forms, frequency[0])
    verb_english = _english_verb(node, forms, subject_words[1], question, shared, frequency[1])
    french = [*subject_words[0], *verb_french, *manner[0], *core.french]
    english = [*verb_english, *core.english, *manner[1]]
    phrases = [(french, english), *_adverbials(context, node, subject)]
    if node.time is not None and node.time_first:
        phrases = [context.uninflected(node.time), context.word(",", ","), *phrases]
    return concatenate(*phrases)


def _subject(context: Realisation, subject: Nominal, predicate: Predicate) -> AlignedPhrase:
    if not isinstance(subject, Pronoun):
        return nominal(context, subject)
    french, english = subject_pronoun(context, subject)
    if isinstance(predicate, ExistentialPredicate):  # "il y a" = "there is"
        english = [("there", english[0][1])]
    return french, english


def _core(context: Realisation, node: Clause, anchor: int, subject: Agreement) -> PredicateCore:
    """Returns the predicate without its finite verb."""
    predicate = node.predicate
    if not isinstance(predicate, ReportPredicate):
        return predicate_core(context, predicate, anchor, subject, bool(node.negation))
    context.tags.add("subordinate-clause")
    words = concatenate(context.uninflected(CONJUNCTIONS["that"]), clause(context, predicate.clause))
    return PredicateCore(predicate.verb, *words)


def _verb_forms(
    context: Realisation, node: Clause, core: PredicateCore, subject: Agreement, anchor: int, question: bool
) -> _VerbForms:
    """Returns the forms of the verb."""
    tense, verb = TENSES[node.tense], core.verb
    agreement = 0
    if tense.french == "past" and verb.aspect != "state":
        # The object before "a décidé de manger" is that of "manger" and agrees with nothing.
        preceding_object = core.preceding_object if isinstance(node.predicate, VerbPhrase) else None
        agreement = _agreement(context, verb, subject, preceding_object)
    finite, participle = french_group(verb, tense.french, subject.person, agreement)
    habit = node.frequency is not None or node.negation == "never" or (node.time is not None and bool(node.time.kinds))
    if isinstance(node.predicate, ExistentialPredicate):  # "there are two keys"
        subject = features(node.predicate.nominal)
    support = node.negation == "not" or question
    auxiliary, main = english_group(verb, tense.english, subject.person, habit, support)
    # With an auxiliary on both sides ("a traversé", "did cross") the two auxiliaries are aligned.
    finite_anchor = context.new_anchor() if participle and auxiliary else anchor
    negation_anchor = context.new_anchor() if node.negation else 0
    return _VerbForms(finite, participle, auxiliary, main, anchor, finite_anchor, negation_anchor)


def _agreement(context: Realisation, verb: Verb, subject: Agreement, preceding_object: int | None) -> int:
    """Returns gender and number of the participle: of the subject with être, else of a preceding direct object."""
    agreement = subject.gender_number if verb.with_etre else preceding_object or 0
    if agreement and verb.french.participle[agreement] != verb.french.participle[0]:
        context.tags.add("participle-agreement")
        if agreement & 1:
            context.tags.add("agreement-gender")
    return agreement


def _french_verb(
    context: Realisation, node: Clause, core: PredicateCore, subject: Agreement, forms: _VerbForms, frequency: Tokens
) -> Tokens:
    """Returns "ne" + pronouns + verb + "pas" + adverb of frequency + participle."""
    french: Tokens = [("ne", forms.negation_anchor)] if node.negation else []
    if core.verb.reflexive:
        context.tags.add("reflexive")
        french.append((REFLEXIVE[subject.person], forms.anchor))
    french += core.clitics
    french.append((forms.finite, forms.finite_anchor))
    if node.negation:
        context.tags.add("negation")
        french.append(("pas" if node.negation == "not" else "jamais", forms.negation_anchor))
    french += frequency
    if forms.participle:
        french.append((forms.participle, forms.anchor))
    return french


def _english_verb(
    node: Clause, forms: _VerbForms, subject_words: Tokens, question: int, shared: bool, frequency: Tokens
) -> Tokens:
    """Returns subject + auxiliary + "not" + adverb of frequency + verb, or with the auxiliary first in a question."""
    auxiliary: Tokens = []
    if forms.auxiliary and not shared:
        auxiliary.append((forms.auxiliary, (forms.finite_anchor, question) if question else forms.finite_anchor))
    english = auxiliary + subject_words if question else subject_words + auxiliary
    if node.negation == "not" and forms.auxiliary == "can" and not question:
        english[-1] = ("cannot", (forms.finite_anchor, forms.negation_anchor))
    elif node.negation:
        english.append((node.negation, forms.negation_anchor))
    return [*english, *frequency, *((word, forms.anchor) for word in forms.main)]


def _adverbials(context: Realisation, node: Clause, subject: Agreement) -> list[AlignedPhrase]:
    """Returns place, time and an infinitive, in this order in both languages."""
    phrases: list[AlignedPhrase] = []
    if node.place is not None:
        phrases.append(place_phrase(context, node.place, subject))
    if node.time is not None and not node.time_first:
        phrases.append(context.uninflected(node.time))
    if node.adjunct is not None:
        link = context.uninflected(node.adjunct.preposition)
        doing = link[1][0][0] != "to"
        phrases += [link, infinitive(context, node.adjunct.act, subject, None, doing)]
    return phrases


def relative_clause(context: Realisation, node: NounPhrase) -> AlignedPhrase:
    """Returns the relative clause of a noun phrase: "qui", "que" or "où"."""
    if node.relative is None:
        return [], []
    context.tags.add("relative-clause")
    antecedent = features(node)
    role, inner = node.relative
    if role == "subject":
        link = context.word("qui", "who" if antecedent.human else "that")
        return concatenate(link, clause(context, inner, subject=antecedent))
    if role == "object":
        link = context.word("que", "that")
        return concatenate(link, clause(context, inner, preceding_object=antecedent.gender_number))
    return concatenate(context.word("où", "where"), clause(context, inner))
