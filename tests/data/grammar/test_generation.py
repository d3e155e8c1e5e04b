"""Sampled derivations are plausible, and their pronouns are unambiguous."""

from collections.abc import Iterator
from typing import Any

import pytest

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, THEY, Agreement
from transformer.data.grammar.corpus import RULES
from transformer.data.grammar.generation import actions, determiners, frames, noun_phrases, questions, reasons, scripts
from transformer.data.grammar.generation.tenses import in_sequence
from transformer.data.grammar.nodes import (
    NODE_TYPES,
    Clause,
    Coordination,
    CopularPredicate,
    ExistentialPredicate,
    NounPhrase,
    Pronoun,
    Question,
    RelativeClause,
    Subordination,
    VerbPhrase,
    features,
)
from transformer.data.grammar.sampling import RandomStream
from transformer.data.grammar.sentences import realise


def sampled(rule, count, relative_percent=12) -> Iterator[Any]:
    for index in range(count):
        derivation = rule(RandomStream(21, index, relative_percent=relative_percent))
        if derivation is not None:
            yield derivation


def parts(node, kind) -> Iterator[Any]:
    """Yields the nodes of a kind in a derivation."""
    if isinstance(node, kind):
        yield node
    for part in node:
        if type(part) in NODE_TYPES:
            yield from parts(part, kind)


@pytest.mark.parametrize(
    "rule", dict.fromkeys(RULES), ids=lambda rule: f"{rule.__module__}.{rule.__name__}".rpartition("generation.")[2]
)
def test_every_rule_samples_derivations_that_can_be_realised(rule):
    derivations = list(sampled(rule, 60))
    assert len(derivations) > 20
    for derivation in derivations:
        example = realise(in_sequence(derivation))
        assert len(example.french_words) > 2


def test_verbs_have_objects_that_their_frames_allow():
    for clause in sampled(actions.action, 800):
        predicate = clause.predicate
        if isinstance(predicate.object, NounPhrase) and isinstance(clause.subject, NounPhrase):
            who, what = clause.subject.noun, predicate.object.noun
            allowed = [f for f in frames.ALL if f.verb is predicate.verb and what in f.objects]
            assert any(who in f.subjects or (who.name and f.people) for f in allowed), realise(clause)


def test_a_reason_fits_its_antecedent():
    for sentence in sampled(reasons.because, 800):
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
        # A pronoun or a coordinated subject has no noun to look up.
        assert len(possible) <= 1, realise(sentence)
        assert possible or not isinstance(sentence.main.subject, NounPhrase), realise(sentence)


def test_the_same_action_has_reasons_of_both_kinds():
    """Otherwise the main clause would determine the gender of "it"."""
    roles = {}
    for group in reasons.REASON_GROUPS:
        for role in group:
            for reason in role:
                roles.setdefault((reason.frame.verb.lemma, reason.negated), set()).add(reason.of_object)
    assert sum(len(derivations) == 2 for derivations in roles.values()) > 25
    assert roles["cross", True] == {True, False}


@pytest.mark.parametrize("rule", [actions.action, actions.control, actions.transfer, questions.why, reasons.because])
def test_a_negated_subject_is_definite(rule):
    for derivation in sampled(rule, 500):
        for clause in parts(derivation, Clause):
            if clause.negation and isinstance(clause.subject, NounPhrase):
                assert clause.subject.determiner not in determiners.VAGUE, realise(derivation)


def test_objects_of_like_are_generic_in_the_plural():
    """Then "aime les pommes" is always "likes apples", and "the" always has a specific referent."""
    for verb in (lexicon.TRANSITIVE[lemma] for lemma in frames.GENERIC):
        for index in range(300):
            noun = RandomStream(3, index).choice(verb.frames[0][1])
            node = noun_phrases.direct_object(RandomStream(4, index), verb, noun, Pronoun(Agreement(HE, 0, True)))
            if not noun.name and (node.plural or noun.mass) and "kin" not in noun.kinds:
                assert node.determiner in ("generic", "own")
            elif not noun.name:
                assert node.determiner != "generic"


def test_subject_and_object_differ():
    for rule in (actions.action, actions.transfer, scripts.follow_up):
        for derivation in sampled(rule, 400):
            for clause in parts(derivation, Clause):
                predicate = clause.predicate
                if isinstance(clause.subject, NounPhrase) and isinstance(predicate, VerbPhrase):
                    nouns = [
                        node.noun for node in (predicate.object, predicate.recipient) if isinstance(node, NounPhrase)
                    ]
                    assert clause.subject.noun not in nouns, realise(derivation)


def test_a_vague_phrase_becomes_definite_and_others_stay():
    bread, cat = NounPhrase(lexicon.find_noun("bread"), "some"), NounPhrase(lexicon.find_noun("cat"), "several", True)
    assert determiners.make_definite(bread).determiner == "the"
    assert determiners.make_definite(cat) == cat._replace(determiner="the")
    mine = NounPhrase(lexicon.find_noun("cat"), "my")
    assert determiners.make_definite(mine) is mine


def test_a_relative_clause_follows_the_past():
    shouting = RelativeClause("subject", Clause(None, VerbPhrase(lexicon.INTRANSITIVE["shout"])))
    man = NounPhrase(lexicon.find_noun("man"), relative=shouting)
    left = Clause(man, VerbPhrase(lexicon.INTRANSITIVE["leave"]), "past")
    assert realise(in_sequence(left)).english == "The man who was shouting left."
    assert realise(in_sequence(left)).french == "L'homme qui criait est parti."
    tired = Clause(man, CopularPredicate(lexicon.ADJECTIVES["tired"]))
    assert in_sequence(tired) == tired
    seen = RelativeClause(
        "object", Clause(NounPhrase(lexicon.find_noun("Paul")), VerbPhrase(lexicon.TRANSITIVE["see"]))
    )
    left = left._replace(subject=man._replace(relative=seen))
    assert realise(in_sequence(left)).french == "L'homme que Paul a vu est parti."


def test_who_questions_have_no_subject_and_no_speaker_asks_about_themselves():
    for question in sampled(questions.who, 200):
        assert question.clause.subject is None
        assert question.clause.negation != "never"
    for rule in (questions.why, questions.where, questions.what, questions.which):
        for question in sampled(rule, 200):
            subject = question.clause.subject
            assert not (isinstance(subject, Pronoun) and subject.features.person == 0)


def test_a_shared_subject_is_realised_once():
    for sentence in sampled(scripts.shared_subject, 200):
        first = sentence.first.subject
        assert sentence.second.subject is None
        assert not isinstance(first, Pronoun) or first.features.person in (HE, THEY)


def test_rules_give_sentences_of_their_kind():
    kinds = {type(derivation) for rule in RULES for derivation in sampled(rule, 3)}
    assert kinds == {Clause, Coordination, Subordination, Question}
    assert any(
        True for rule in set(RULES) for derivation in sampled(rule, 20) for _ in parts(derivation, ExistentialPredicate)
    )
