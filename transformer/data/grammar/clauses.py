"""Clauses: subject, verb group, negation, predicate and adverbials in the order of each language."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import AgreementFeatures
from transformer.data.grammar.draft import AlignedPhrase, RealisationContext, Tokens
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.lexicon.entries import Verb
from transformer.data.grammar.nodes import (
    Clause,
    ExistentialPredicate,
    NounPhrase,
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
    context: RealisationContext,
    node: Clause,
    subject_features: AgreementFeatures | None = None,
    preceding_object: int | None = None,
    question: int = 0,
    shared: bool = False,
) -> AlignedPhrase:
    """Returns the words of a clause.

    Args:
        context: the realisation in progress.
        node: the clause.
        subject_features: of a subject that the clause does not contain (in a relative clause, shared, or "who").
        preceding_object: gender and number of a direct object before the clause.
        question: the anchor of "est-ce que", if English inverts subject and auxiliary.
        shared: whether English omits a repeated auxiliary ("is singing and dancing").

    Raises:
        ValueError: neither the clause nor the caller provides a subject.
    """
    context.tags.add(TENSES[node.tense].tag)
    subject_words: AlignedPhrase = [], []
    if node.subject is not None:
        subject_features = features(node.subject)
        subject_words = _subject(context, node)
    if subject_features is None:
        raise ValueError("a clause without a subject needs the features of the shared subject")
    anchor = context.new_anchor()
    core = _core(context, node, anchor, subject_features)
    forms = _verb_forms(context, node, core, subject_features, anchor, preceding_object, question > 0)
    frequency = ([], []) if node.frequency is None else context.uninflected(node.frequency)
    manner = ([], []) if node.manner is None else context.uninflected(node.manner)
    verb_french = _french_verb(context, node, core, subject_features, forms, frequency[0])
    verb_english = _english_verb(node, forms, subject_words[1], question, shared, frequency[1])
    after = _adverbials(context, node, subject_features)
    french = [*subject_words[0], *verb_french, *manner[0], *core.french, *after[0]]
    english = [*verb_english, *core.english, *manner[1], *after[1]]
    if node.time is not None and node.time_first:
        comma = context.new_anchor()
        time_french, time_english = context.uninflected(node.time)
        return [*time_french, (",", comma), *french], [*time_english, (",", comma), *english]
    return french, english


def _subject(context: RealisationContext, node: Clause) -> AlignedPhrase:
    if not isinstance(node.subject, Pronoun):
        return nominal(context, node.subject) if node.subject is not None else ([], [])
    french, english = subject_pronoun(context, node.subject)
    if isinstance(node.predicate, ExistentialPredicate):  # "il y a" = "there is"
        english = [("there", english[0][1])]
    return french, english


def _core(context: RealisationContext, node: Clause, anchor: int, subject_features: AgreementFeatures) -> PredicateCore:
    """Returns the predicate without its finite verb."""
    predicate = node.predicate
    if not isinstance(predicate, ReportPredicate):
        return predicate_core(context, predicate, anchor, subject_features, bool(node.negation))
    context.tags.add("subordinate-clause")
    that_french, that_english = context.uninflected(CONJUNCTIONS["that"])
    french, english = clause(context, predicate.clause)
    return PredicateCore(predicate.verb, [], None, that_french + french, that_english + english)


def _verb_forms(
    context: RealisationContext,
    node: Clause,
    core: PredicateCore,
    subject_features: AgreementFeatures,
    anchor: int,
    preceding_object: int | None,
    question: bool,
) -> _VerbForms:
    """Returns the forms of the verb."""
    tense, verb = TENSES[node.tense], core.verb
    agreement = 0
    if tense.french == "past" and verb.aspect != "state":
        # The object before "a décidé de manger" is that of "manger" and agrees with nothing.
        before = core.preceding_object if core.preceding_object is not None else preceding_object
        agreement = _agreement(
            context, verb, subject_features, before if isinstance(node.predicate, VerbPhrase) else None
        )
    finite, participle = french_group(verb, tense.french, subject_features.person, agreement)
    habit = node.frequency is not None or node.negation == "never" or (node.time is not None and bool(node.time.kinds))
    counted = (
        features(node.predicate.nominal) if isinstance(node.predicate, ExistentialPredicate) else subject_features
    )  # "there are two keys"
    support = node.negation == "not" or question
    auxiliary, main = english_group(verb, tense.english, counted.person, habit, support)
    # With an auxiliary on both sides ("a traversé", "did cross") the two auxiliaries are aligned.
    finite_anchor = context.new_anchor() if participle and auxiliary else anchor
    negation_anchor = context.new_anchor() if node.negation else 0
    return _VerbForms(finite, participle, auxiliary, main, anchor, finite_anchor, negation_anchor)


def _agreement(
    context: RealisationContext, verb: Verb, subject_features: AgreementFeatures, preceding_object: int | None
) -> int:
    """Returns gender and number of the participle: of the subject with être, else of a preceding direct object."""
    agreement = subject_features.gender_number if verb.with_etre else preceding_object or 0
    if agreement and verb.french.participle[agreement] != verb.french.participle[0]:
        context.tags.add("participle-agreement")
        if agreement & 1:
            context.tags.add("agreement-gender")
    return agreement


def _french_verb(
    context: RealisationContext,
    node: Clause,
    core: PredicateCore,
    subject_features: AgreementFeatures,
    forms: _VerbForms,
    frequency: Tokens,
) -> Tokens:
    """Returns "ne" + pronouns + verb + "pas" + adverb of frequency + participle."""
    french: Tokens = [("ne", forms.negation_anchor)] if node.negation else []
    if core.verb.reflexive:
        context.tags.add("reflexive")
        french.append((REFLEXIVE[subject_features.person], forms.anchor))
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


def _adverbials(context: RealisationContext, node: Clause, subject_features: AgreementFeatures) -> AlignedPhrase:
    """Returns place, time and an infinitive, in this order in both languages."""
    french: Tokens = []
    english: Tokens = []
    if node.place is not None:
        french, english = place_phrase(context, node.place, subject_features)
    if node.time is not None and not node.time_first:
        time_french, time_english = context.uninflected(node.time)
        french, english = french + time_french, english + time_english
    if node.adjunct is not None:
        link_french, link_english = context.uninflected(node.adjunct.preposition)
        doing = link_english[0][0] != "to"
        act_french, act_english = infinitive(context, node.adjunct.act, subject_features, None, doing)
        french, english = [*french, *link_french, *act_french], [*english, *link_english, *act_english]
    return french, english


def relative_clause(context: RealisationContext, node: NounPhrase) -> AlignedPhrase:
    """Returns the relative clause of a noun phrase: "qui", "que" or "où"."""
    if node.relative is None:
        return [], []
    context.tags.add("relative-clause")
    link = context.new_anchor()
    antecedent = features(node)
    role, inner = node.relative
    if role == "subject":
        french, english = clause(context, inner, subject_features=antecedent)
        return [("qui", link), *french], [("who" if antecedent.human else "that", link), *english]
    if role == "object":
        french, english = clause(context, inner, preceding_object=antecedent.gender_number)
        return [("que", link), *french], [("that", link), *english]
    french, english = clause(context, inner)
    return [("où", link), *french], [("where", link), *english]
