import numpy as np

from transformer.data.batches.bucket_shapes import BatchShape
from transformer.data.batches.evaluation import ordered_batches, source_batches
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.spec import EOS, PAD


def pairs_of(lengths: list[tuple[int, int]]) -> TokenizedPairs:
    """Pairs of these lengths, EOS included; sentence i is i + 4 again and again, and EOS."""

    def side(sizes: tuple[int, ...]) -> TokenizedSide:
        tokens = [token for i, size in enumerate(sizes) for token in (*[i + 4] * (size - 1), EOS)]
        return TokenizedSide(np.array(tokens, np.int32), np.cumsum([0, *sizes]))

    source, target = zip(*lengths, strict=True)
    return TokenizedPairs(side(source), side(target), np.arange(len(lengths)), 0)


CHANCE = np.random.default_rng(0)
LENGTHS = [(int(s), int(t)) for s, t in CHANCE.integers(2, 14, (211, 2))]
SHAPES = (BatchShape(16, 5, 7), BatchShape(12, 8, 13), BatchShape(12, 13, 8), BatchShape(8, 13, 13))


def check(lengths: list[tuple[int, int]], batches: list) -> None:
    """Every pair is in one row, padded, and the other rows are PAD."""
    assert sorted(i for indices, _ in batches for i in indices if i >= 0) == list(range(len(lengths)))
    for indices, (source, target) in batches:
        assert len(indices) == len(source) == len(target)
        for index, *rows in zip(indices, source, target, strict=True):
            for row, size in zip(rows, lengths[index] if index >= 0 else (0, 0), strict=True):
                expected = [int(index) + 4] * (size - 1) + [EOS] if size else []
                assert row.tolist() == expected + [PAD] * (len(row) - size)


def test_every_pair_occurs_once_in_a_known_shape():
    batches = list(ordered_batches(pairs_of(LENGTHS), 104, SHAPES))
    check(LENGTHS, batches)
    assert {(len(source), source.shape[1], target.shape[1]) for _, (source, target) in batches} == set(SHAPES)
    rows = sum(len(indices) for indices, _ in batches)
    assert rows - len(LENGTHS) < 16 + 12  # leftovers move on, so that few rows are padding


def test_without_shapes_all_are_powers_of_two():
    """Few pairs are as short as 4; they do not fill a batch and move on."""
    batches = list(ordered_batches(pairs_of(LENGTHS), 104, (), row_multiple=4))
    check(LENGTHS, batches)
    assert {batch.source.shape[1] for _, batch in batches} == {8, 16}


def test_longer_pairs_get_shapes_of_powers_of_two():
    lengths = [*LENGTHS[:20], (14, 2), (3, 17), (16, 16), (70, 5)]
    batches = list(ordered_batches(pairs_of(lengths), 104, SHAPES, row_multiple=4))
    check(lengths, batches)
    extra = {(len(source), *source.shape[1:], *target.shape[1:]) for _, (source, target) in batches} - set(SHAPES)
    assert extra == {(4, 16, 16), (4, 32, 32), (4, 128, 128)}  # 104 tokens are 4 rows of 16; never fewer than 4


def test_pairs_stay_in_order_within_a_shape():
    batches = list(ordered_batches(pairs_of([(3, 3)] * 37), 104, [BatchShape(16, 5, 7)]))
    assert [i for indices, _ in batches for i in indices] == [*range(37), *[-1] * 11]


def test_source_batches_hold_every_sentence_once_with_eos():
    sentences = [[i + 4] * (size - 1) for i, (size, _) in enumerate(LENGTHS)] + [[], [7] * 40]
    batches = source_batches(sentences, 7)
    assert sorted(i for indices, _ in batches for i in indices if i >= 0) == list(range(len(sentences)))
    for indices, rows in batches:
        assert rows.shape[0] == len(indices) == 7
        assert rows.dtype == np.int32
        for index, row in zip(indices, rows, strict=True):
            tokens = [*sentences[index], EOS] if index >= 0 else []
            assert row.tolist() == tokens + [PAD] * (len(row) - len(tokens))
    lengths = [(rows.shape[1], -len(sentences[i])) for indices, rows in batches for i in indices if i >= 0]
    assert lengths == sorted(lengths)  # widths ascend; within a width, the longest sentences come first


def test_shards_of_a_batch_have_equal_work():
    ((indices, rows),) = source_batches([[4] * size for size in (5, 1, 3, 2, 4)], 8, num_shards=2)
    assert indices.tolist() == [0, 2, 1, -1, 4, 3, -1, -1]
    assert np.sum(rows == 4, axis=1).tolist() == [5, 3, 1, 0, 4, 2, 0, 0]


def test_the_width_of_a_sentence_does_not_depend_on_its_neighbours():
    sentences = [[4] * size for size in range(60)]
    widths = [source_batches([sentence], 3)[0][1].shape[1] for sentence in sentences]
    for indices, rows in source_batches(sentences, 3):
        assert {widths[index] for index in indices if index >= 0} == {rows.shape[1]}
    assert set(widths) == {16, 32, 64}


def test_nothing_to_translate_is_no_batch():
    assert source_batches([], 5) == []


def test_the_widths_of_long_pairs_are_bounded():
    lengths = [(70, 5), (60, 61)]
    batches = list(ordered_batches(pairs_of(lengths), 104, SHAPES, row_multiple=1, max_width=100))
    check(lengths, batches)
    assert [(*source.shape, target.shape[1]) for _, (source, target) in batches] == [(1, 64, 64), (1, 100, 100)]


def test_source_batches_of_wide_sentences_have_fewer_rows():
    sentences = [[4] * size for size in (3, 40, 5, 200, 900, 2, 50)]
    batches = source_batches(sentences, 12, num_shards=2, max_tokens=12 * 32, row_multiple=2)
    assert [rows.shape for _, rows in batches] == [(12, 16), (6, 64), (2, 256), (2, 1024)]
    assert sorted(i for indices, _ in batches for i in indices if i >= 0) == list(range(7))
    for indices, rows in batches:
        lengths = [len(sentences[index]) + 1 if index >= 0 else 0 for index in indices]
        assert np.sum(rows != PAD, axis=1).tolist() == lengths
