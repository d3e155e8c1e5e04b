import os

import pytest

from configs.base import get_config
from transformer.data.fingerprint import file_fingerprint, fingerprints_match, sample_fingerprint
from transformer.data.pairs import LazyPairs, Pair
from transformer.spec import DataSpec


def spec(direction: str) -> DataSpec:
    return DataSpec.from_config({**get_config().to_dict()["data"], "direction": direction})


def lazy(pairs: list[Pair]) -> LazyPairs:
    return LazyPairs(len(pairs), lambda indices: [pairs[index] for index in indices])


def test_a_sample_fingerprint_is_the_same_in_both_directions():
    pairs = [Pair(f"un {i}", f"one {i}") for i in range(1009)]
    expected = sample_fingerprint(lazy(pairs), spec("fr-en"))
    assert expected["pairs"] == 1009
    assert sample_fingerprint(lazy([Pair(*reversed(pair)) for pair in pairs]), spec("en-fr")) == expected
    assert sample_fingerprint(lazy(pairs), spec("en-fr")) != expected
    assert sample_fingerprint(lazy(pairs[:61]), spec("fr-en")) != sample_fingerprint(
        lazy([*pairs[:60], Pair("", "")]), spec("fr-en")
    )


def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    path = tmp_path / "a"
    path.write_text("un\n")
    first = file_fingerprint(path, {})
    assert file_fingerprint(path, first | {"sha256": "as known"})["sha256"] == "as known"
    os.utime(path, (1, 1))  # touched or copied
    touched = file_fingerprint(path, first)
    assert touched != first
    assert fingerprints_match(touched, first)
    path.write_text("us\n")
    assert not fingerprints_match(file_fingerprint(path, first), first)


@pytest.mark.parametrize(
    ("second", "equal"),
    [
        ({"fr": {"sha256": "a", "modified": 2}, "n": 1}, True),
        ({"fr": {"sha256": "b", "modified": 1}, "n": 1}, False),
        ({"fr": {"sha256": "a", "modified": 1}, "n": 2}, False),
        ({"fr": {"sha256": "a", "modified": 1}}, False),
        ({}, False),
    ],
)
def test_fingerprints_are_compared_by_content(second, equal):
    first = {"fr": {"sha256": "a", "modified": 1}, "n": 1}
    assert fingerprints_match(first, second) == fingerprints_match(second, first) == equal
