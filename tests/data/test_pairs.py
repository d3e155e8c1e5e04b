import pytest

from transformer.data.pairs import LazyPairs, Pair, first


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
