import numpy as np
import pytest

from transformer.data import token_dataset
from transformer.data.pairs import Pair
from transformer.data.token_dataset import sentences_in_row, tokenize
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import EOS, PAD

WORDS = "le chat noir dort sur la chaise".split()
TEXTS = [" ".join(WORDS[i:j]) for i in range(7) for j in range(i + 1, 8)]
PAIRS = [Pair(source, target) for source, target in zip(TEXTS, reversed(TEXTS), strict=True)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_from_texts(TEXTS, 31, "bpe")


@pytest.fixture(params=[3, 8192])
def _chunk(request, monkeypatch):
    monkeypatch.setattr(token_dataset, "_CHUNK", request.param)


def test_a_row_has_no_or_several_sentences():
    assert sentences_in_row([7, 8, EOS, 9, EOS, PAD, PAD]) == [[7, 8, EOS], [9, EOS]]
    assert sentences_in_row([7, 8, EOS]) == [[7, 8, EOS]]
    assert sentences_in_row([PAD] * 4) == []


@pytest.mark.usefixtures("_chunk")
def test_rows_are_the_pairs_with_eos(tokenizer):
    pairs = tokenize(PAIRS, tokenizer, None)
    assert len(pairs) == len(PAIRS)
    assert pairs.dropped == 0
    for index, pair in enumerate(PAIRS):
        assert pairs.source.sentence(index).tolist() == [*tokenizer.encode(pair.source), EOS]
        assert pairs.target.sentence(index).tolist() == [*tokenizer.encode(pair.target), EOS]
    assert pairs.lengths[0].tolist() == [len(tokenizer.encode(pair.source)) + 1 for pair in PAIRS]
    assert pairs.lengths[1].tolist() == pairs.lengths[0].tolist()[::-1]
    assert pairs.source.tokens.dtype == np.uint16


@pytest.mark.usefixtures("_chunk")
def test_long_and_empty_pairs_are_left_out_and_counted(tokenizer):
    longest = 10
    pairs = [Pair("", "le"), *PAIRS, Pair("le", ""), Pair("", "")]
    tokenized = tokenize(pairs, tokenizer, longest)
    sizes = [[len(tokenizer.encode(text)) + 1 for text in pair] for pair in pairs]
    expected = [index for index, size in enumerate(sizes) if min(size) > 1 and max(size) <= longest]
    assert 3 < len(expected) < len(PAIRS) - 3
    assert tokenized.positions.tolist() == expected
    assert tokenized.dropped == len(pairs) - len(expected)
    assert max(tokenized.lengths[0].max(), tokenized.lengths[1].max()) == longest  # the limit itself is allowed
    for row, index in enumerate(expected):
        assert tokenized.target.sentence(row).tolist() == [*tokenizer.encode(pairs[index].target), EOS]


@pytest.mark.parametrize("blank", ["   ", "\u00a0\u202f", "\t", "\u2003\u3000", "\ufeff", "\u200b \u00ad", "\u2028"])
def test_a_side_without_a_visible_character_is_empty(blank):
    pairs = [Pair("le chat", "noir"), Pair(blank, "noir"), Pair("le chat", blank), Pair("chaise", "la")]
    spaces = Tokenizer.train_from_texts([text for pair in pairs for text in pair], 23, "bpe")
    tokenized = tokenize(pairs, spaces, None)
    assert tokenized.positions.tolist() == [0, 3]
    assert tokenized.dropped == 2


def test_an_empty_result_is_an_error(tokenizer):
    for pairs in ([], [Pair("", "")], PAIRS):
        with pytest.raises(ValueError, match=f"none of {len(pairs)} pairs is left"):
            tokenize(pairs, tokenizer, 2)


def test_a_batch_is_padded_and_filled_up(tokenizer):
    pairs = tokenize(PAIRS, tokenizer, None)
    source, target = pairs.batch(np.array([5, -1, 0, 27]), 29, 31)
    assert source.shape == (4, 29)
    assert target.shape == (4, 31)
    assert (source.dtype, target.dtype) == (np.int32, np.int32)
    for row, index in enumerate([5, None, 0, 27]):
        for side, array in ((pairs.source, source), (pairs.target, target)):
            expected = [] if index is None else side.sentence(index).tolist()
            assert array[row].tolist() == expected + [PAD] * (array.shape[1] - len(expected))


def test_a_batch_too_narrow_is_an_error(tokenizer):
    pairs = tokenize(PAIRS, tokenizer, None)
    width = int(pairs.lengths[0][6])
    assert pairs.source.padded(np.array([6]), width).shape == (1, width)
    with pytest.raises(ValueError, match=f"sentence of {width} tokens in a batch {width - 1} wide"):
        pairs.source.padded(np.array([6]), width - 1)
