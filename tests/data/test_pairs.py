import dataclasses

import pytest

from configs.base import get_config
from transformer.data.pairs import LazyPairs, Pair, first_pairs, sample, too_few_pairs
from transformer.spec import DataSpec


def test_lazy_pairs_are_a_sequence():
    reads = []

    def read(indices):
        reads.extend(indices)
        return [Pair(str(i), str(i)) for i in indices]

    pairs = LazyPairs(2003, read)
    assert (pairs[0].source, pairs[-1].source, len(pairs[5:11])) == ("0", "2002", 6)
    assert reads == [0, 2002, *range(5, 11)]
    assert [pair.source for pair in pairs] == [str(i) for i in range(2003)]
    assert len(pairs.head(3)) == 3
    assert len(pairs.head(9999)) == 2003
    for index in (2003, -2004):
        with pytest.raises(IndexError):
            pairs[index]


@pytest.mark.parametrize(
    "pairs", [LazyPairs(5, lambda indices: [Pair(str(i), "") for i in indices]), [Pair(c, "") for c in "01234"]]
)
def test_first_pairs_of_a_split(pairs):
    assert [pair.source for pair in first_pairs(pairs, 3)] == ["0", "1", "2"]
    assert len(first_pairs(pairs, None)) == len(first_pairs(pairs, 6)) == 5


def test_fewer_pairs_than_train_pairs_are_a_warning():
    spec = DataSpec.from_config({**get_config().to_dict()["data"], "train_pairs": 6})
    assert too_few_pairs(spec, 5) == ["warning: data.train_pairs=6, but split 'train' has only 5 pairs"]
    assert too_few_pairs(spec, 6) == too_few_pairs(dataclasses.replace(spec, train_pairs=None), 5) == []


def test_pairs_are_read_many_at_a_time():
    reads = []

    def read(indices):
        reads.append(len(indices))
        return [Pair(str(i), "") for i in indices]

    indices = list(range(0, 9000, 7))
    assert [pair.source for pair in LazyPairs(9001, read).take(indices)] == list(map(str, indices))
    assert reads == [1024, len(indices) - 1024]


def test_a_sample_is_stratified_and_the_same_each_time():
    listed = [Pair(str(i), "") for i in range(10_007)]
    lazy = LazyPairs(len(listed), lambda indices: [listed[i] for i in indices])
    indices = [int(pair.source) for pair in sample(listed, 101)]
    assert indices == [int(pair.source) for pair in sample(lazy, 101)]
    assert all(10_007 * n // 101 <= index < 10_007 * (n + 1) // 101 for n, index in enumerate(indices))
    assert len({index - 10_007 * n // 101 for n, index in enumerate(indices)}) > 50  # anywhere in its range
    for size in (10_007, 10**9):
        assert list(sample(listed, size)) == listed
