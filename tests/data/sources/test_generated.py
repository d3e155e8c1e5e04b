"""Pairs are generated once and read from the cache afterwards."""

import pathlib
from collections.abc import Callable, Iterable

import pytest

from transformer.data.pairs import Pair
from transformer.data.sources import generated

PAIRS = [Pair("« Oui\u202f! »", "“Yes!”"), Pair("Il dort.", "He is sleeping."), Pair("a\x0bb", "c\u2028d")]


class Maker:
    """Generates the pairs, and counts the calls."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterable[Pair]:
        self.times += 1
        return iter(PAIRS)


@pytest.fixture
def ask(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Pair]]:
    monkeypatch.setattr(generated, "_CACHED_SIZES", range(2, 10))
    (tmp_path / "code/lexicon").mkdir(parents=True)
    (tmp_path / "code/rules.py").write_text("x = 1\n")
    (tmp_path / "code/lexicon/nouns.tsv").write_text("chat\n")
    return lambda make, size=3, name="train": generated.cached_pairs(
        tmp_path / "cache", name, size, tmp_path / "code", make
    )


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in (folder / "cache").rglob("*") if path.is_file())


def test_pairs_are_generated_once(ask: Callable[..., list[Pair]], tmp_path: pathlib.Path) -> None:
    make = Maker()
    assert ask(make) == ask(make) == PAIRS
    assert make.times == 1
    assert ask(make, name="test") == PAIRS
    assert (make.times, len(files(tmp_path))) == (2, 2)


@pytest.mark.parametrize("changed", ["rules.py", "lexicon/nouns.tsv"])
def test_changed_code_generates_them_again(
    ask: Callable[..., list[Pair]], tmp_path: pathlib.Path, changed: str
) -> None:
    make = Maker()
    ask(make)
    (before,) = files(tmp_path)
    (tmp_path / "code" / changed).write_text("x = 2\n")
    assert ask(make) == PAIRS
    assert make.times == 2
    (after,) = files(tmp_path)  # the file of the older code is deleted
    assert after != before


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[:-9], lambda text: text.replace(b"dort", b"mort"), lambda _: b""],
    ids=["cut off", "changed", "empty"],
)
def test_a_damaged_file_is_replaced(
    ask: Callable[..., list[Pair]], tmp_path: pathlib.Path, damage: Callable[[bytes], bytes]
) -> None:
    make = Maker()
    ask(make)
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert ask(make) == ask(make) == PAIRS
    assert make.times == 2


@pytest.mark.parametrize("size", [1, 11])
def test_few_and_very_many_pairs_are_not_cached(
    ask: Callable[..., list[Pair]], tmp_path: pathlib.Path, size: int
) -> None:
    make = Maker()
    assert ask(make, size) == ask(make, size) == PAIRS
    assert (make.times, files(tmp_path)) == (2, [])


def test_without_write_permission_pairs_are_generated_each_time(
    ask: Callable[..., list[Pair]], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    make = Maker()
    assert ask(make) == ask(make) == PAIRS
    assert make.times == 2
