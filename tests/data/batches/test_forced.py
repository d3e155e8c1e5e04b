import numpy as np
import pytest

from transformer.data.batches.forced import batches_by_width, forced_batches
from transformer.data.pairs import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import BOS, EOS, PAD

WORDS = "le chat noir dort sur la chaise".split()
# Seven pairs of 1 to 7 words on one side and 7 to 1 on the other.
PAIRS = [Pair(" ".join(WORDS[:size]), " ".join(reversed(WORDS[size - 1 :]))) for size in range(1, 8)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_from_texts([text for pair in PAIRS for text in pair], 31, "bpe")


@pytest.mark.parametrize(("rows", "sizes"), [(3, [3, 3, 1]), (7, [7]), (11, [7])])
def test_every_pair_is_in_order_in_batches_of_one_shape(tokenizer, rows, sizes):
    batches = forced_batches(tokenizer, PAIRS, rows)
    assert [len(batch.indices) for batch in batches] == sizes
    assert [index for batch in batches for index in batch.indices] == list(range(7))
    (shapes,) = {tuple(array.shape for array in batch[1:]) for batch in batches}
    widths = [max(len(tokenizer.encode(text)) + 1 for text in side) for side in zip(*PAIRS, strict=True)]
    assert shapes[1] == shapes[2]
    for shape, width in zip(shapes, widths, strict=False):
        assert shape[0] == rows
        assert shape[1] % 8 == 0
        assert width <= shape[1] < width + 8


def test_inputs_are_targets_shifted_right_and_the_rest_is_padding(tokenizer):
    for batch in forced_batches(tokenizer, PAIRS, 5):
        assert {array.dtype for array in batch[1:]} == {np.dtype(np.int32)}
        for row in range(5):
            ids: list[list[int]] = [[], [], []]
            if row < len(batch.indices):
                source, target = map(tokenizer.encode, PAIRS[batch.indices[row]])
                ids = [[*source, EOS], [BOS, *target], [*target, EOS]]
            for array, expected in zip(batch[1:], ids, strict=True):
                assert array[row].tolist() == expected + [PAD] * (array.shape[1] - len(expected))


def test_unpadded_sentences_have_the_weights_of_their_own_tokens(tokenizer):
    batches = forced_batches(tokenizer, PAIRS, 5)
    seen = []
    for batch in batches:
        source, target = batch.source_BS.shape[1], batch.target_BT.shape[1]
        sizes = {"encoder/0": (source, source), "decoder/1": (target, target), "cross/0": (target, source)}
        weights = {
            name: np.arange(5 * 3 * queries * keys).reshape(5, 3, queries, keys)
            for name, (queries, keys) in sizes.items()
        }
        for row, (index, pair, own) in enumerate(batch.unpadded(weights)):
            source_ids, target_ids = map(tokenizer.encode, PAIRS[index])
            assert list(pair.indices) == [index]
            assert pair.source_BS.tolist() == [*source_ids, EOS]
            assert pair.input_BT.tolist() == [BOS, *target_ids]
            assert pair.target_BT.tolist() == [*target_ids, EOS]
            s, t = len(source_ids) + 1, len(target_ids) + 1
            for name, (queries, keys) in {"encoder/0": (s, s), "decoder/1": (t, t), "cross/0": (t, s)}.items():
                np.testing.assert_array_equal(own[name], weights[name][row, :, :queries, :keys])
            seen.append(index)
    assert seen == list(range(7))


def test_no_pairs_are_an_error(tokenizer):
    with pytest.raises(ValueError, match="no sentence pairs"):
        forced_batches(tokenizer, [], 3)


def test_the_shape_of_a_batch_depends_on_the_width_of_its_pairs_only():
    sources = [[5] * size for size in (3, 20, 1, 15, 40, 16, 2)]
    targets = [[6] * size for size in (15, 1, 16, 2, 3, 3, 1)]
    batches = batches_by_width(sources, targets, rows=3, max_tokens=64, row_multiple=2)
    assert [(list(batch.indices), batch.source_BS.shape) for batch in batches] == [
        ([0, 3], (2, 16)),
        ([6], (2, 16)),
        ([1, 2], (2, 32)),
        ([5], (2, 32)),
        ([4], (2, 64)),
    ]
    for batch in batches:
        for row, index in enumerate(batch.indices):
            for array, ids in zip(batch[1:], ([*sources[index], EOS], [BOS, *targets[index]]), strict=False):
                assert array[row].tolist() == ids + [PAD] * (array.shape[1] - len(ids))
            assert batch.target_BT[row].tolist()[: len(targets[index]) + 1] == [*targets[index], EOS]
        assert (batch.source_BS[len(batch.indices) :] == PAD).all()
