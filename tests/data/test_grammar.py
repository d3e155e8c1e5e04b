"""The generated corpus: a pure function, disjoint splits, lengths, tags, alignments."""

import hashlib
from typing import Any

import numpy as np
import pytest

from transformer.data.grammar import PHENOMENA, SPLITS, AnnotatedPair, generate, lexicon
from transformer.data.grammar.corpus import MAX_WORDS, MAX_WORDS_LONG, MIN_WORDS, sample_derivation, word_counts
from transformer.data.grammar.sampling import MASK, RandomStream, content_weight, in_split
from transformer.data.grammar.sentences import join_english, join_french, realise

MOVED = """the corpus has changed. If you changed the lexicon, a rule or a weight on purpose, read two hundred new
pairs, update these values, and note in CHANGELOG.md that results on the old corpus are not comparable."""


@pytest.fixture(scope="module")
def train() -> list[AnnotatedPair]:
    return [generate("train", i) for i in range(12_000)]


@pytest.fixture(scope="module")
def held_out() -> list[AnnotatedPair]:
    return [generate(split, i) for split in ("validation", "test") for i in range(600)]


@pytest.fixture(scope="module")
def long() -> list[AnnotatedPair]:
    return [generate("long", i) for i in range(600)]


def test_golden_pairs():
    first_pairs = {split: (generate(split, 0).french, generate(split, 0).english) for split in GOLDEN}
    assert first_pairs == GOLDEN, MOVED
    pairs = [(e.french, e.english, e.alignment, sorted(e.tags)) for s in SPLITS for e in map_indices(s, range(50))]
    assert hashlib.sha256(repr(pairs).encode()).hexdigest()[:16] == GOLDEN_DIGEST, MOVED


@pytest.mark.parametrize(
    "split", [pytest.param(split, marks=pytest.mark.slow if split != "train" else []) for split in SPLITS]
)
def test_the_first_two_thousand_pairs_have_not_changed(split: str) -> None:
    texts, alignments, tags = (hashlib.sha256() for _ in range(3))
    for example in map_indices(split, range(2_000)):
        texts.update(f"{example.french}\t{example.english}\n".encode())
        alignments.update(f"{example.alignment}\n".encode())
        tags.update(f"{sorted(example.tags)}\n".encode())
    assert [digest.hexdigest() for digest in (texts, alignments, tags)] == DIGESTS[split], MOVED


def map_indices(split, indices, seed=0):
    return [generate(split, index, seed) for index in indices]


def test_a_pair_depends_only_on_seed_split_and_index():
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
def test_invalid_arguments_are_errors(split, index, message):
    with pytest.raises(ValueError, match=message):
        generate(split, index)


def test_no_held_out_sentence_is_trained_on_in_either_language(train, held_out, long):
    for side in ("french", "english"):
        seen = {getattr(example, side) for example in train} | {
            getattr(generate("train", i, seed=1), side) for i in range(2_000)
        }
        assert not seen & {getattr(example, side) for example in held_out + long}


def test_validation_and_test_are_disjoint(held_out):
    validation, test = held_out[:600], held_out[600:]
    assert not {e.french for e in validation} & {e.french for e in test}
    assert not {e.english for e in validation} & {e.english for e in test}


def weights(side):
    """Returns form → weight, for the forms that identify an entry in one language."""
    return {form.lower(): entry.weight for entry in lexicon.CONTENT for form in getattr(entry, side + "_forms")}


def test_the_text_in_either_language_determines_the_split():
    """Each language determines the content hash, which proves that the splits are disjoint."""
    french, english = weights("french"), weights("english")
    for index in range(3_000):
        derivation = sample_derivation(RandomStream(11, index), ("train", "validation")[index % 10 == 0])
        example = realise(derivation)
        content_sum = content_weight(derivation) & MASK
        assert sum(french.get(word.lower(), 0) for word in example.french_words) & MASK == content_sum, example.french
        stems = (word.lower().removesuffix("'s") for word in example.english_words)
        assert sum(english.get(stem, 0) for stem in stems) & MASK == content_sum, example.english


def test_the_training_split_has_nine_tenths_of_the_contents():
    counts: dict[str, int] = {"train": 0, "validation": 0, "test": 0}
    for index in range(4_000):
        derivation = (lexicon.CONTENT[index % 500], *(lexicon.CONTENT[(index * k) % 487] for k in (3, 7, 11)))
        (split,) = [split for split in counts if in_split(split, derivation)]
        counts[split] += 1
    assert 0.88 < counts["train"] / 4_000 < 0.92
    assert 0.04 < counts["validation"] / 4_000 < 0.06


def test_long_sentences_are_longer_than_all_others(train, held_out, long):
    trained = [count for example in train + held_out for count in word_counts(example)]
    assert min(trained) >= MIN_WORDS
    assert max(trained) <= MAX_WORDS < min(min(word_counts(example)) for example in long)
    assert max(max(word_counts(example)) for example in long) <= MAX_WORDS_LONG
    assert all(("length" in example.tags) == (example in long) for example in (*long, *train[:500]))


def test_sentences_have_a_natural_length(train):
    english = [word_counts(example)[1] for example in train]
    assert 7.5 < sum(english) / len(english) < 12
    assert sum(count <= 4 for count in english) > 300
    assert sum(count >= 14 for count in english) > 300


def test_nearly_all_pairs_are_distinct_and_there_are_over_a_million(train):
    distinct = {(example.french, example.english) for example in train}
    assert len(distinct) > 0.98 * len(train)
    # Of n samples from N equally likely pairs, n²/2N coincide. Unequal probabilities give more, so N is a lower bound.
    coincidences = len(train) - len(distinct)
    assert len(train) ** 2 / (2 * max(1, coincidences)) > 1_000_000


def test_a_sentence_has_one_translation(train):
    for source, target in (("french", "english"), ("english", "french")):
        translations = {}
        for example in train:
            translation = getattr(example, target)
            assert translations.setdefault(getattr(example, source), translation) == translation


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
# SHA-256 of the texts, the alignments and the tags of the first 2,000 pairs of each split.
DIGESTS = {
    "train": [
        "1c2b6678be177ad7cf95238c13b30ee35eda9ee035e411cde7e22f6b357136ad",
        "7b45331505aa35a38876a74bd2377eb8d1620cde45b927951c54e33d49a2d6a5",
        "80b9bf32bab6678f26c60401f8e4da2966d88517d9b9cd4d64fe6a2799f263ab",
    ],
    "validation": [
        "a8a3c0a443dbee36e1d68dbe558bc65e7706250db412254bc84a82b30f53ef6e",
        "05e642d0a18b0283fab1d0773c5125d0a4e7f5326b52975862ea4fa5178daeb2",
        "d0e694c9a0cd5b3da2822b4f16e94864364811ee75bb0c3cc670295bda79c7cf",
    ],
    "test": [
        "2c07c273d23f11bc0bcf6a4f6fdbbf82ef8c59285cfa5687ed8cc1a2d6815c22",
        "59d86fc7917b0edb3105ac6014f97dc4147dcdea902769b80b84d71046a5455b",
        "b33e91145194619c7d37d90c5cd431c6df4770350e8c9bb2d21dfff66bf98162",
    ],
    "long": [
        "82321e32de97eee687e65612f7a31226e713723b143c226aec125518c269116d",
        "9351e0b10d343bdc738dcf00a3d532888026f176e12f4dc0f19da4c2832e05bb",
        "56cab10a2910a3f4bd4fe68b8bc39a85da3d93343c30b8c41cfdf67bf0c97454",
    ],
}
