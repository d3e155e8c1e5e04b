"""The corpus as others use it: a pure function, splits that are disjoint, lengths, tags, alignments."""

import hashlib
from typing import Any

import numpy as np
import pytest

from transformer.data.grammar import PHENOMENA, SPLITS, Example, generate, lexicon
from transformer.data.grammar.corpus import LONGEST, LONGEST_TRAINED, SHORTEST, draw, word_counts
from transformer.data.grammar.sampling import MASK, Stream, belongs, content
from transformer.data.grammar.sentences import join_english, join_french, realise

MOVED = """the corpus is not what it was. If you changed the lexicon, a rule or a weight on purpose: read two hundred
new pairs, put the new values here, and say in CHANGELOG.md that numbers measured on the old corpus do not compare. If
you did not mean to change it, you have."""


@pytest.fixture(scope="module")
def train() -> list[Example]:
    return [generate("train", i) for i in range(12_000)]


@pytest.fixture(scope="module")
def held_out() -> list[Example]:
    return [generate(split, i) for split in ("validation", "test") for i in range(600)]


@pytest.fixture(scope="module")
def long() -> list[Example]:
    return [generate("long", i) for i in range(600)]


def test_golden_pairs():
    shown = {split: (generate(split, 0).french, generate(split, 0).english) for split in GOLDEN}
    assert shown == GOLDEN, MOVED
    every = [(e.french, e.english, e.alignment, sorted(e.tags)) for s in SPLITS for e in map_indices(s, range(50))]
    assert hashlib.sha256(repr(every).encode()).hexdigest()[:16] == GOLDEN_DIGEST, MOVED


def map_indices(split, indices, seed=0):
    return [generate(split, index, seed) for index in indices]


def test_a_pair_depends_on_seed_split_and_index_alone():
    forwards = map_indices("train", range(40), seed=3)
    assert map_indices("train", reversed(range(40)), seed=3) == forwards[::-1]
    assert map_indices("train", range(40), seed=4) != forwards
    assert map_indices("test", range(40), seed=3) != forwards


def test_any_integer_is_a_seed_and_any_large_one_an_index():
    assert generate("train", 0, seed=-1) != generate("train", 0, seed=1)
    assert generate("train", 10**15).french
    seven: Any = np.int64(7)
    two: Any = np.uint8(2)
    assert generate("train", seven, seed=two) == generate("train", 7, seed=2)


@pytest.mark.parametrize(("split", "index", "message"), [("dev", 0, "unknown split 'dev'"), ("train", -1, "index -1")])
def test_mistakes_are_refused(split, index, message):
    with pytest.raises(ValueError, match=message):
        generate(split, index)


def test_no_held_out_sentence_is_trained_on_in_either_language(train, held_out, long):
    for side in ("french", "english"):
        seen = {getattr(example, side) for example in train} | {
            getattr(generate("train", i, seed=1), side) for i in range(2_000)
        }
        assert not seen & {getattr(example, side) for example in held_out + long}


def test_validation_and_test_are_apart(held_out):
    validation, test = held_out[:600], held_out[600:]
    assert not {e.french for e in validation} & {e.french for e in test}
    assert not {e.english for e in validation} & {e.english for e in test}


def weights(side):
    """Returns form → weight, for the forms that give an entry away in one language."""
    return {form.lower(): entry.weight for entry in lexicon.CONTENT for form in getattr(entry, side + "_key")}


def test_either_text_alone_tells_the_split():
    """Which proves the splits disjoint: the content hash is a function of the French words, and of the English ones."""
    french, english = weights("french"), weights("english")
    for index in range(3_000):
        derivation = draw(Stream(11, index), ("train", "validation")[index % 10 == 0])
        example = realise(derivation)
        told = content(derivation) & MASK
        assert sum(french.get(word.lower(), 0) for word in example.french_words) & MASK == told, example.french
        stems = (word.lower().removesuffix("'s") for word in example.english_words)
        assert sum(english.get(stem, 0) for stem in stems) & MASK == told, example.english


def test_the_splits_share_out_the_contents_nine_to_one():
    counts: dict[str, int] = {"train": 0, "validation": 0, "test": 0}
    for index in range(4_000):
        derivation = (lexicon.CONTENT[index % 500], *(lexicon.CONTENT[(index * k) % 487] for k in (3, 7, 11)))
        (split,) = [split for split in counts if belongs(split, derivation)]
        counts[split] += 1
    assert 0.88 < counts["train"] / 4_000 < 0.92
    assert 0.04 < counts["validation"] / 4_000 < 0.06


def test_long_sentences_are_longer_than_all_others(train, held_out, long):
    trained = [count for example in train + held_out for count in word_counts(example)]
    assert min(trained) >= SHORTEST
    assert max(trained) <= LONGEST_TRAINED < min(min(word_counts(example)) for example in long)
    assert max(max(word_counts(example)) for example in long) <= LONGEST
    assert all(("length" in example.tags) == (example in long) for example in (*long, *train[:500]))


def test_sentences_have_a_natural_length(train):
    english = [word_counts(example)[1] for example in train]
    assert 7.5 < sum(english) / len(english) < 12
    assert sum(count <= 4 for count in english) > 300
    assert sum(count >= 14 for count in english) > 300


def test_nearly_all_pairs_are_distinct_and_there_are_over_a_million(train):
    distinct = {(example.french, example.english) for example in train}
    assert len(distinct) > 0.98 * len(train)
    # Of n draws from N equally likely pairs, n²/2N coincide. Pairs are not equally likely, so there are more than this.
    coincidences = len(train) - len(distinct)
    assert len(train) ** 2 / (2 * max(1, coincidences)) > 1_000_000


def test_a_sentence_has_one_translation(train):
    for source, target in (("french", "english"), ("english", "french")):
        found = {}
        for example in train:
            assert found.setdefault(getattr(example, source), getattr(example, target)) == getattr(example, target)


def test_every_phenomenon_is_frequent_and_documented(train, long):
    for name in set(PHENOMENA) - {"length"}:
        assert sum(name in example.tags for example in train) > 0.01 * len(train), name
    assert frozenset().union(*(example.tags for example in train + long)) == frozenset(PHENOMENA)


def test_words_make_the_text(train, long):
    for example in train + long:
        assert join_french(list(example.french_words)) == example.french
        assert join_english(list(example.english_words)) == example.english
        assert example.french.endswith((".", " ?"))
        assert example.english.endswith((".", "?"))
        assert "  " not in example.french + example.english
        assert not any(" " in word for word in example.french_words + example.english_words)
        assert example.french[0].isupper()
        assert example.english[0].isupper()


GOLDEN = {
    "train": (
        "Le client ne raconte pas ce rêve.",
        "The customer is not telling this dream.",
    ),
    "validation": (
        "Les chiens aboieront parce qu'ils sont nerveux.",
        "The dogs will bark because they are nervous.",
    ),
    "test": (
        "Anne criera parce qu'elle est en colère.",
        "Anne will shout because she is angry.",
    ),
}
# Of the first fifty pairs of each split, "long" among them, with alignments and tags.
GOLDEN_DIGEST = "eeb04cee0167c200"
