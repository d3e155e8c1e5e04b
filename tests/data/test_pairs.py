import pytest

from transformer.data.pairs import LazyPairs, Pair, first, sampled


def test_lazy_pairs_are_a_sequence():
    asked = []

    def read(indices):
        asked.extend(indices)
        return [Pair(str(i), str(i)) for i in indices]

    pairs = LazyPairs(2003, read)
    assert (pairs[0].source, pairs[-1].source, len(pairs[5:11])) == ("0", "2002", 6)
    assert asked == [0, 2002, *range(5, 11)]
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
    assert [pair.source for pair in first(pairs, 3, "train")] == ["0", "1", "2"]
    assert len(first(pairs, None, "train")) == 5
    with pytest.raises(ValueError, match=r"data.train_pairs: 6 asked for, but split 'train' has 5 pairs"):
        first(pairs, 6, "train")


def test_pairs_at_places_are_read_many_at_a_time():
    asked = []

    def read(indices):
        asked.append(len(indices))
        return [Pair(str(i), "") for i in indices]

    places = list(range(0, 9000, 7))
    assert [pair.source for pair in LazyPairs(9001, read).at(places)] == list(map(str, places))
    assert asked == [1024, len(places) - 1024]


def test_a_sample_is_from_all_over_and_the_same_each_time():
    listed = [Pair(str(i), "") for i in range(10_007)]
    lazy = LazyPairs(len(listed), lambda indices: [listed[i] for i in indices])
    places = [int(pair.source) for pair in sampled(listed, 101)]
    assert places == [int(pair.source) for pair in sampled(lazy, 101)]
    assert all(10_007 * n // 101 <= place < 10_007 * (n + 1) // 101 for n, place in enumerate(places))
    assert len({place - 10_007 * n // 101 for n, place in enumerate(places)}) > 50  # anywhere in a stretch
    for size in (10_007, 10**9):
        assert list(sampled(listed, size)) == listed
