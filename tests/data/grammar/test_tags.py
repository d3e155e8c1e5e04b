"""Tags are correct and French surface rules hold, checked on the words without the grammar."""

import re
from itertools import pairwise

import pytest

from transformer.data.grammar import generate

VOWEL = re.compile(r"[aeiouyàâéèêëîïôùûœæ]", re.IGNORECASE)
ASPIRATED = ("haut", "hibou", "hérisson", "héros", "hache", "harpe", "haricot", "homard", "hamster", "hollande")


@pytest.fixture(scope="module")
def examples():
    return [generate("train", i, seed=7) for i in range(4_000)] + [generate("long", i, seed=7) for i in range(200)]


def sounds_like_a_vowel(word):
    lower = word.lower()
    return bool(VOWEL.match(lower)) or (lower.startswith("h") and not lower.startswith(ASPIRATED))


def lowered(words):
    return [word.lower() for word in words]


@pytest.mark.parametrize(
    ("tag", "sign"),
    [
        ("elision", lambda french, english: any(word.endswith("'") for word in french)),
        (
            "negation",
            lambda french, english: {"pas", "jamais"} & set(french) and {"not", "never", "cannot"} & set(english),
        ),
        ("question-yes-no", lambda french, english: french[0] == "est-ce" and french[-1] == "?"),
        ("question-wh", lambda french, english: french[-1] == "?" and french[0] != "est-ce"),
    ],
)
def test_a_tag_agrees_with_the_words(examples, tag, sign):
    for example in examples:
        matches = sign(lowered(example.french_words), lowered(example.english_words))
        assert bool(matches) == (tag in example.tags), example.french


@pytest.mark.parametrize(
    ("tag", "needed"),
    [
        ("contraction", {"au", "aux", "du", "des"}),
        ("coordination", {"et", "mais", "ou", "donc"}),
        ("relative-clause", {"qui", "que", "qu'", "où"}),
        ("subordinate-clause", {"que", "qu'", "si", "s'", "quand"}),
        ("comparison", {"plus"}),
        ("object-pronoun", {"me", "m'", "le", "la", "l'", "les", "nous", "vous", "lui", "leur"}),
        ("reflexive", {"me", "m'", "se", "s'", "nous", "vous"}),
        ("coreference", {"il", "elle", "ils", "elles", "le", "la", "l'", "les", "lui", "leur"}),
        ("partitive", {"du", "de", "d'"}),
    ],
)
def test_the_tag_has_its_word(examples, tag, needed):
    tagged = [example for example in examples if tag in example.tags]
    assert tagged
    for example in tagged:
        assert needed & set(lowered(example.french_words)), example.french


def test_future_is_tagged(examples):
    for example in examples:
        if "will" in lowered(example.english_words):
            assert "future" in example.tags, example.english


def test_nothing_elides_wrongly_and_nothing_is_left_unelided(examples):
    for example in examples:
        words = example.french_words
        for word, following in pairwise(words):
            if word.lower() in ("le", "la", "de", "ne", "que", "je", "se", "me", "ce", "ma", "sa", "vieux", "beau"):
                assert not sounds_like_a_vowel(following) or word.lower() in ("beau", "vieux"), example.french
            if word.endswith("'") and word.lower() != "s'":
                assert sounds_like_a_vowel(following), example.french
            assert (word.lower(), following) not in (("si", "il"), ("si", "ils")), example.french


def test_prepositions_contract(examples):
    for example in examples:
        words = lowered(example.french_words)
        for word, following in pairwise(words):
            # An article; "le" and "les" before an infinitive are pronouns ("sans les laver", "avant de le lire").
            assert not (word == "à" and following in ("le", "les")), example.french
            assert not (word == "de" and following == "les"), example.french


def test_the_english_article_fits_the_word_after_it(examples):
    for example in examples:
        words = lowered(example.english_words)
        for word, following in pairwise(words):
            if word in ("a", "an"):
                vowel = following[0] in "aeiou" and not following.startswith(("uni", "use"))
                assert (word == "an") == (vowel or following == "honest"), following


def test_english_has_no_contractions(examples):
    for example in examples:
        assert not re.search(r"n't|'(re|ll|m|ve|d)\b", example.english), example.english


def test_people_are_he_or_she_and_things_it(examples):
    """ "elle" is "it" or "she", so its translation depends on the antecedent."""
    pairs = {
        (french.lower(), english.lower())
        for example in examples
        if "coreference" in example.tags
        for i, j in example.alignment
        for french, english in [(example.french_words[i], example.english_words[j])]
    }
    assert {("elle", "she"), ("elle", "it"), ("il", "he"), ("il", "it"), ("elles", "they"), ("ils", "they")} <= pairs
    assert {("l'", "it"), ("l'", "him"), ("l'", "her"), ("les", "them")} <= pairs
    assert not {("il", "she"), ("elle", "he"), ("la", "him"), ("le", "her")} & pairs
