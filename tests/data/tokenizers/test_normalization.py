import hashlib

import pytest

from transformer.data.tokenizers.normalization import rule_tables
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import UNK

LINES = [
    "L’Été, l'homme d'affaires est là.",
    "l'ami d'un homme dort « ici » déjà ; l'été, l'homme",
    "The man's hat – “big” … IS HERE",
    "a DOG'S hat, the dogs' hats, the 'big' dog",
    "ÀÉÎÖÛÇŒÆŸ àéîöûçœæÿ",
]
TEXTS = [" ".join(words[i:]) for words in map(str.split, LINES) for i in range(len(words))]
SIZES = {"bpe": 71, "unigram": 53}


@pytest.fixture(scope="module", params=SIZES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train_from_texts(TEXTS, SIZES[request.param], request.param, uncased=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L’Été, l'homme d'affaires est là.", "l'été, l'homme d'affaires est là."),
        ("The man's hat – “big” … IS HERE", 'the man\'s hat - "big" ... is here'),
        ("l'ami « ici » dort", 'l\'ami "ici" dort'),
        ("l'ami «\u00a0ici\u202f»\u00a0; dort", 'l\'ami "ici" ; dort'),
        ("the dogs' hats, the 'big' dog", "the dogs' hats, the 'big' dog"),  # whose spaces are not taken for ours
        ("l' homme'", "l' homme'"),
        ("ÀÉÎÖÛÇŒÆ", "àéîöûçœæ"),
        ("a  b", "a  b"),
        ("", ""),
    ],
)
def test_text_comes_back_in_lower_case_and_plain(tokenizer: Tokenizer, text: str, expected: str) -> None:
    ids = tokenizer.encode(text)
    assert UNK not in ids
    assert tokenizer.decode(ids) == expected
    assert tokenizer.encode(expected) == ids


def test_case_and_typography_make_no_other_pieces(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("L’HOMME D’AFFAIRES") == tokenizer.encode("l'homme d'affaires")


def test_a_word_after_an_apostrophe_is_the_word(tokenizer: Tokenizer) -> None:
    separate, elided = (tokenizer.pieces(tokenizer.encode(text)) for text in ("un homme", "l'homme"))
    word = separate[next(index for index, piece in enumerate(separate) if piece.startswith("▁h")) :]
    assert elided[-len(word) :] == word


def test_words_are_spelled_as_their_pieces_are(tokenizer: Tokenizer) -> None:
    words = ["L’", "homme", "d'", "Affaires"]
    assert tokenizer.normalize(words) == ["l'", "homme", "d'", "affaires"]
    pieces = tokenizer.pieces(tokenizer.encode("L’homme d'Affaires"))
    assert "".join(pieces).replace("▁", "") == "".join(tokenizer.normalize(words))


def test_the_model_is_the_same_each_time_and_names_no_file(tokenizer: Tokenizer) -> None:
    models = {Tokenizer.train_from_texts(TEXTS, SIZES["bpe"], "bpe", uncased=True).models[0] for _ in range(2)}
    assert len(models) == 1
    assert b".tsv" not in models.pop()


def test_a_cased_vocabulary_is_another() -> None:
    cased = Tokenizer.train_from_texts(TEXTS, SIZES["bpe"], "bpe")
    assert cased.decode(cased.encode("L’Été")) == "L’Été"
    assert cased.normalize(["L’", "Été"]) == ["L’", "Été"]


def test_rules_do_not_depend_on_the_unicode_of_a_python() -> None:
    """Every letter that changes has been in Unicode since before Python 3.11, whose version is 14."""
    encoding, decoding = rule_tables(uncased=True, escapes={})
    assert (
        hashlib.sha256(encoding.encode()).hexdigest()
        == "c5f669345c7d3e211ecaf6cf329a9685f57e7fda30adf3270754d2a4a1bb7a70"
    )
    assert decoding == "27 20\t27\n"
