"""What is drawn makes sense: the rules that keep sentences plausible and pronouns clear."""

from collections.abc import Iterator
from typing import Any

import pytest

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, THEY, Features
from transformer.data.grammar.corpus import RULES
from transformer.data.grammar.generation import actions, determiners, frames, noun_phrases, questions, reasons, scripts
from transformer.data.grammar.generation.tenses import in_sequence
from transformer.data.grammar.nodes import (
    Act,
    Be,
    Clause,
    Existence,
    Joined,
    NounPhrase,
    Pronoun,
    Question,
    Relative,
    Subordinated,
    features,
)
from transformer.data.grammar.sampling import NODES, Stream
from transformer.data.grammar.sentences import realise


def drawn(rule, count, nesting=12) -> Iterator[Any]:
    for index in range(count):
        derivation = rule(Stream(21, index, nesting=nesting))
        if derivation is not None:
            yield derivation


def parts(node, kind) -> Iterator[Any]:
    """Yields the nodes of a kind in a derivation."""
    if isinstance(node, kind):
        yield node
    for part in node:
        if type(part) in NODES:
            yield from parts(part, kind)


@pytest.mark.parametrize(
    "rule", dict.fromkeys(RULES), ids=lambda rule: f"{rule.__module__}.{rule.__name__}".rpartition("drawing.")[2]
)
def test_every_rule_draws_sentences_that_can_be_said(rule):
    found = list(drawn(rule, 60))
    assert len(found) > 20
    for derivation in found:
        example = realise(in_sequence(derivation))
        assert len(example.french_words) > 2


def test_verbs_have_objects_that_their_frames_allow():
    for clause in drawn(actions.action, 800):
        done = clause.predicate
        if isinstance(done.object, NounPhrase) and isinstance(clause.subject, NounPhrase):
            who, what = clause.subject.noun, done.object.noun
            allowed = [f for f in frames.ALL if f.verb is done.verb and what in f.objects]
            assert any(who in f.subjects or (who.name and f.people) for f in allowed), realise(clause)


def test_a_reason_is_about_the_one_it_fits():
    for sentence in drawn(reasons.because, 800):
        about = sentence.subordinate
        fits = about.predicate.property
        participants = [sentence.main.subject, sentence.main.predicate.object]
        possible = [
            node
            for node in participants
            if isinstance(node, NounPhrase)
            and fits in node.noun.predicates
            and features(node) == about.subject.features
        ]
        # A pronoun ("he", "we") or a couple as the subject has no noun that could be looked up.
        assert len(possible) <= 1, realise(sentence)
        assert possible or not isinstance(sentence.main.subject, NounPhrase), realise(sentence)


def test_the_same_action_has_reasons_of_both_kinds():
    """Without which the gender of "it" could be learnt from the main clause alone."""
    roles = {}
    for group in reasons.REASON_GROUPS:
        for role in group:
            for reason in role:
                roles.setdefault((reason.frame.verb.lemma, reason.negated), set()).add(reason.of_object)
    assert sum(len(found) == 2 for found in roles.values()) > 25
    assert roles["cross", True] == {True, False}


@pytest.mark.parametrize("rule", [actions.action, actions.control, actions.transfer, questions.why, reasons.because])
def test_a_negated_subject_is_definite(rule):
    for derivation in drawn(rule, 500):
        for clause in parts(derivation, Clause):
            if clause.negation and isinstance(clause.subject, NounPhrase):
                assert clause.subject.determiner not in determiners.VAGUE, realise(derivation)


def test_likes_are_general_in_the_plural_and_particular_in_the_singular():
    """So "aime les pommes" is always "likes apples", and "the" always stands for one thing."""
    for verb in (lexicon.TRANSITIVE[lemma] for lemma in frames.GENERIC):
        for index in range(300):
            noun = Stream(3, index).choice(verb.frames[0][1])
            node = noun_phrases.direct_object(Stream(4, index), verb, noun, Features(HE, 0, True))
            if not noun.name and (node.plural or noun.mass) and "kin" not in noun.kinds:
                assert node.determiner in ("generic", "own")
            elif not noun.name:
                assert node.determiner != "generic"


def test_nobody_acts_on_himself():
    for rule in (actions.action, actions.transfer, scripts.follow_up):
        for derivation in drawn(rule, 400):
            for clause in parts(derivation, Clause):
                done = clause.predicate
                if isinstance(clause.subject, NounPhrase) and isinstance(done, Act):
                    nouns = [node.noun for node in (done.object, done.recipient) if isinstance(node, NounPhrase)]
                    assert clause.subject.noun not in nouns, realise(derivation)


def test_a_vague_phrase_becomes_definite_and_others_stay():
    bread, cat = NounPhrase(lexicon.noun("bread"), "some"), NounPhrase(lexicon.noun("cat"), "several", True)
    assert determiners.definite(bread).determiner == "the"
    assert determiners.definite(cat) == cat._replace(determiner="the")
    mine = NounPhrase(lexicon.noun("cat"), "my")
    assert determiners.definite(mine) is mine


def test_a_relative_clause_follows_the_past():
    shouting = Relative("subject", Clause(None, Act(lexicon.INTRANSITIVE["shout"])))
    man = NounPhrase(lexicon.noun("man"), relative=shouting)
    left = Clause(man, Act(lexicon.INTRANSITIVE["leave"]), "past")
    assert realise(in_sequence(left)).english == "The man who was shouting left."
    assert realise(in_sequence(left)).french == "L'homme qui criait est parti."
    tired = Clause(man, Be(lexicon.ADJECTIVES["tired"]))
    assert in_sequence(tired) == tired
    seen = Relative("object", Clause(NounPhrase(lexicon.noun("Paul")), Act(lexicon.TRANSITIVE["see"])))
    left = left._replace(subject=man._replace(relative=seen))
    assert realise(in_sequence(left)).french == "L'homme que Paul a vu est parti."


def test_who_is_asked_without_a_subject_and_nobody_asks_about_himself():
    for question in drawn(questions.who, 200):
        assert question.clause.subject is None
        assert question.clause.negation != "never"
    for rule in (questions.why, questions.where, questions.what, questions.which):
        for question in drawn(rule, 200):
            subject = question.clause.subject
            assert not (isinstance(subject, Pronoun) and subject.features.slot == 0)


def test_a_shared_subject_is_said_once():
    for sentence in drawn(scripts.shared_subject, 200):
        first = sentence.first.subject
        assert sentence.second.subject is None
        assert not isinstance(first, Pronoun) or first.features.slot in (HE, THEY)


def test_rules_give_sentences_of_their_kind():
    kinds = {type(derivation) for rule in RULES for derivation in drawn(rule, 3)}
    assert kinds == {Clause, Joined, Subordinated, Question}
    assert any(True for rule in set(RULES) for derivation in drawn(rule, 20) for _ in parts(derivation, Existence))
