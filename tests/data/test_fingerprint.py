import os

import pytest

from configs.base import get_config
from transformer.data.fingerprint import content_of, excerpt, same
from transformer.data.pairs import LazyPairs, Pair
from transformer.spec import DataSpec


def spec(direction: str) -> DataSpec:
    return DataSpec.from_config({**get_config().to_dict()["data"], "direction": direction})


def lazy(pairs: list[Pair]) -> LazyPairs:
    return LazyPairs(len(pairs), lambda indices: [pairs[index] for index in indices])


def test_an_excerpt_is_the_same_in_both_directions():
    pairs = [Pair(f"un {i}", f"one {i}") for i in range(1009)]
    found = excerpt(lazy(pairs), spec("fr-en"))
    assert found["pairs"] == 1009
    assert excerpt(lazy([Pair(*reversed(pair)) for pair in pairs]), spec("en-fr")) == found
    assert excerpt(lazy(pairs), spec("en-fr")) != found
    assert excerpt(lazy(pairs[:61]), spec("fr-en")) != excerpt(lazy([*pairs[:60], Pair("", "")]), spec("fr-en"))


def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    path = tmp_path / "a"
    path.write_text("un\n")
    first = content_of(path, {})
    assert content_of(path, first | {"sha256": "as known"})["sha256"] == "as known"
    os.utime(path, (1, 1))  # touched, or copied
    touched = content_of(path, first)
    assert touched != first
    assert same(touched, first)
    path.write_text("us\n")
    assert not same(content_of(path, first), first)


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ({"fr": {"sha256": "a", "modified": 2}, "n": 1}, True),
        ({"fr": {"sha256": "b", "modified": 1}, "n": 1}, False),
        ({"fr": {"sha256": "a", "modified": 1}, "n": 2}, False),
        ({"fr": {"sha256": "a", "modified": 1}}, False),
        ({}, False),
    ],
)
def test_identities_are_compared_by_content(other, equal):
    one = {"fr": {"sha256": "a", "modified": 1}, "n": 1}
    assert same(one, other) == same(other, one) == equal
