"""Clauses: subject, verb group, negation, predicate and adverbials in the order of each language."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import Features
from transformer.data.grammar.draft import Draft, Phrase, Tokens
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.lexicon.entries import Verb
from transformer.data.grammar.nodes import Act, Clause, Existence, NounPhrase, Pronoun, Report, features
from transformer.data.grammar.phrases import nominal, place
from transformer.data.grammar.predicates import Core, infinitive, subject_pronoun
from transformer.data.grammar.predicates import core as simple_core
from transformer.data.grammar.verb_group import REFLEXIVE, TENSES, english_group, french_group


class _Group(NamedTuple):
    """The verb of a clause: French finite form and participle, English auxiliary and main words, with their anchors."""

    finite: str
    participle: str
    auxiliary: str
    main: tuple[str, ...]
    anchor: int
    finite_anchor: int
    negation_anchor: int


def clause(
    draft: Draft,
    node: Clause,
    who: Features | None = None,
    preceding: int | None = None,
    question: int = 0,
    shared: bool = False,
) -> Phrase:
    """Returns the words of a clause.

    Args:
        draft: the realisation in progress.
        node: the clause.
        who: the features of a subject that is not said here (a relative clause, a shared subject, "who").
        preceding: gender and number of a direct object that stands before the clause.
        question: the anchor of "est-ce que", if English inverts subject and auxiliary.
        shared: whether English leaves out an auxiliary already said ("is singing and dancing").

    Raises:
        ValueError: if neither the clause nor the caller gives a subject.
    """
    draft.tags.add(TENSES[node.tense].tag)
    subject: Phrase = [], []
    if node.subject is not None:
        who = features(node.subject)
        subject = _subject(draft, node)
    if who is None:
        raise ValueError("a clause without a subject needs the features of the one it shares")
    anchor = draft.fresh()
    core = _core(draft, node, anchor, who)
    group = _group(draft, node, core, who, anchor, preceding, question > 0)
    often = ([], []) if node.frequency is None else draft.fixed(node.frequency)
    manner = ([], []) if node.manner is None else draft.fixed(node.manner)
    verb_french = _french_verb(draft, node, core, who, group, often[0])
    verb_english = _english_verb(node, group, subject[1], question, shared, often[1])
    after = _adverbials(draft, node, who)
    french = [*subject[0], *verb_french, *manner[0], *core.french, *after[0]]
    english = [*verb_english, *core.english, *manner[1], *after[1]]
    if node.time is not None and node.time_first:
        comma = draft.fresh()
        time_french, time_english = draft.fixed(node.time)
        return [*time_french, (",", comma), *french], [*time_english, (",", comma), *english]
    return french, english


def _subject(draft: Draft, node: Clause) -> Phrase:
    if not isinstance(node.subject, Pronoun):
        return nominal(draft, node.subject) if node.subject is not None else ([], [])
    french, english = subject_pronoun(draft, node.subject)
    if isinstance(node.predicate, Existence):  # "il y a" = "there is"
        english = [("there", english[0][1])]
    return french, english


def _core(draft: Draft, node: Clause, anchor: int, who: Features) -> Core:
    """Returns everything of the predicate but its finite verb."""
    predicate = node.predicate
    if not isinstance(predicate, Report):
        return simple_core(draft, predicate, anchor, who, bool(node.negation))
    draft.tags.add("subordinate-clause")
    that_french, that_english = draft.fixed(CONJUNCTIONS["that"])
    french, english = clause(draft, predicate.clause)
    return Core(predicate.verb, [], None, that_french + french, that_english + english)


def _group(
    draft: Draft, node: Clause, core: Core, who: Features, anchor: int, preceding: int | None, question: bool
) -> _Group:
    """Returns the forms of the verb."""
    tense, verb = TENSES[node.tense], core.verb
    agreement = 0
    if tense.french == "past" and verb.aspect != "s":
        # The object before "a décidé de manger" is that of "manger" and agrees with nothing.
        before = core.preceding if core.preceding is not None else preceding
        agreement = _agreement(draft, verb, who, before if isinstance(node.predicate, Act) else None)
    finite, participle = french_group(verb, tense.french, who.slot, agreement)
    habit = node.frequency is not None or node.negation == "never" or (node.time is not None and bool(node.time.kinds))
    counted = features(node.predicate.nominal) if isinstance(node.predicate, Existence) else who  # "there are two keys"
    support = node.negation == "not" or question
    auxiliary, main = english_group(verb, tense.english, counted.slot, habit, support)
    # With an auxiliary on both sides ("a traversé", "did cross") the two auxiliaries are aligned.
    finite_anchor = draft.fresh() if participle and auxiliary else anchor
    negation_anchor = draft.fresh() if node.negation else 0
    return _Group(finite, participle, auxiliary, main, anchor, finite_anchor, negation_anchor)


def _agreement(draft: Draft, verb: Verb, who: Features, preceding: int | None) -> int:
    """Returns gender and number of the participle: of the subject with être, else of a direct object before it."""
    agreement = who.gender_number if verb.etre else preceding or 0
    if agreement and verb.french.participle[agreement] != verb.french.participle[0]:
        draft.tags.add("participle-agreement")
        if agreement & 1:
            draft.tags.add("agreement-gender")
    return agreement


def _french_verb(draft: Draft, node: Clause, core: Core, who: Features, group: _Group, often: Tokens) -> Tokens:
    """Returns "ne" + pronouns + verb + "pas" + adverb of frequency + participle."""
    french: Tokens = [("ne", group.negation_anchor)] if node.negation else []
    if core.verb.reflexive:
        draft.tags.add("reflexive")
        french.append((REFLEXIVE[who.slot], group.anchor))
    french += core.clitics
    french.append((group.finite, group.finite_anchor))
    if node.negation:
        draft.tags.add("negation")
        french.append(("pas" if node.negation == "not" else "jamais", group.negation_anchor))
    french += often
    if group.participle:
        french.append((group.participle, group.anchor))
    return french


def _english_verb(node: Clause, group: _Group, subject: Tokens, question: int, shared: bool, often: Tokens) -> Tokens:
    """Returns subject + auxiliary + "not" + adverb of frequency + verb, or with the auxiliary first in a question."""
    auxiliary: Tokens = []
    if group.auxiliary and not shared:
        auxiliary.append((group.auxiliary, (group.finite_anchor, question) if question else group.finite_anchor))
    english = auxiliary + subject if question else subject + auxiliary
    if node.negation == "not" and group.auxiliary == "can" and not question:
        english[-1] = ("cannot", (group.finite_anchor, group.negation_anchor))
    elif node.negation:
        english.append((node.negation, group.negation_anchor))
    return [*english, *often, *((word, group.anchor) for word in group.main)]


def _adverbials(draft: Draft, node: Clause, who: Features) -> Phrase:
    """Returns place, time and an infinitive, in this order in both languages."""
    french: Tokens = []
    english: Tokens = []
    if node.place is not None:
        french, english = place(draft, node.place, who)
    if node.time is not None and not node.time_first:
        time_french, time_english = draft.fixed(node.time)
        french, english = french + time_french, english + time_english
    if node.adjunct is not None:
        link_french, link_english = draft.fixed(node.adjunct.preposition)
        doing = link_english[0][0] != "to"
        act_french, act_english = infinitive(draft, node.adjunct.act, who, None, doing)
        french, english = [*french, *link_french, *act_french], [*english, *link_english, *act_english]
    return french, english


def relative(draft: Draft, node: NounPhrase) -> Phrase:
    """Returns the relative clause of a noun phrase: "qui", "que" or "où"."""
    if node.relative is None:
        return [], []
    draft.tags.add("relative-clause")
    link = draft.fresh()
    antecedent = features(node)
    role, inner = node.relative
    if role == "subject":
        french, english = clause(draft, inner, who=antecedent)
        return [("qui", link), *french], [("who" if antecedent.human else "that", link), *english]
    if role == "object":
        french, english = clause(draft, inner, preceding=antecedent.gender_number)
        return [("que", link), *french], [("that", link), *english]
    french, english = clause(draft, inner)
    return [("où", link), *french], [("where", link), *english]
