"""Where a pairing is lost: shifted by some lines, or altogether."""

import dataclasses

import numpy as np
import pytest

from transformer.data import grammar
from transformer.data.doctor.alignment_checks import Passage, passages
from transformer.data.doctor.line_features import Lines, Side

SIZE = 1511
CLOSE = 6  # lines: neighbours may be alike


@pytest.fixture(scope="module")
def sides() -> tuple[Side, Side]:
    examples = [grammar.generate("train", index) for index in range(SIZE)]
    source = Lines([example.french for example in examples], 0, "fr", "en")
    target = Lines([example.english for example in examples], 0, "en", "fr")
    return source.numbers, target.numbers


def check(found: list[Passage], expected: list[Passage]) -> None:
    assert [passage.shift for passage in found] == [passage.shift for passage in expected]
    for passage, wanted in zip(found, expected, strict=True):
        assert abs(passage.start - wanted.start) <= CLOSE
        assert abs(passage.stop - wanted.stop) <= CLOSE


def test_pairs_that_belong_together_show_nothing(sides: tuple[Side, Side]) -> None:
    source, target = sides
    assert passages(source, target) == []
    assert passages(source[:99], target[1:100]) == []  # too few to say
    by_length = np.argsort(source.characters, kind="stable")
    assert passages(source[by_length], target[by_length]) == []
    # With less evidence, lines far away are unlike these in length, which is no sign that they belong together.
    fewer = by_length[by_length < 1000]
    assert passages(*(dataclasses.replace(side[fewer], signature=side.signature[fewer] * 0) for side in sides)) == []
    rng = np.random.default_rng(0)
    noisy = np.arange(SIZE)
    noise = rng.choice(SIZE, SIZE // 5, replace=False)
    noisy[noise] = rng.permutation(noise)
    assert passages(source, target[noisy]) == []
    assert passages(source[np.zeros(SIZE, int)], target[np.zeros(SIZE, int)]) == []


@pytest.mark.parametrize("start", [0, 2, 500, 1450])
@pytest.mark.parametrize("missing", [1, 3])
def test_a_missing_line_shifts_all_that_follow(sides: tuple[Side, Side], start: int, missing: int) -> None:
    source, target = sides
    gap = np.delete(np.arange(SIZE), range(start, start + missing))
    check(passages(source, target[gap]), [Passage(start, SIZE - missing, -missing)])
    check(passages(source[gap], target), [Passage(start, SIZE - missing, missing)])


def test_a_long_gap(sides: tuple[Side, Side]) -> None:
    source, target = sides
    gap = np.delete(np.arange(SIZE), range(700, 740))
    check(passages(source, target[gap]), [Passage(700, SIZE - 40, -40)])
    gap = np.delete(np.arange(SIZE), range(200, 500))  # longer than is looked for, but for the sides' sizes
    found = passages(source, target[gap])
    assert found[-1].shift == -300
    assert abs(found[0].start - 200) <= CLOSE


def test_a_shift_that_ends(sides: tuple[Side, Side]) -> None:
    source, target = sides
    order = np.r_[0:300, 301:380, 300, 380:SIZE]
    check(passages(source, target[order]), [Passage(300, 379, -1)])


def test_shifts_that_grow(sides: tuple[Side, Side]) -> None:
    source, target = sides
    gaps = np.delete(np.arange(SIZE), [200, 500, 900])
    expected = [Passage(200, 500, -1), Passage(500, 900, -2), Passage(900, SIZE - 3, -3)]
    check(passages(source, target[gaps]), expected)


def test_lines_out_of_order(sides: tuple[Side, Side]) -> None:
    source, target = sides
    shuffled = np.random.default_rng(1).permutation(SIZE)
    assert passages(source, target[shuffled]) == [Passage(0, SIZE, None)]
    backwards = np.r_[0:800, SIZE - 1 : 799 : -1]
    check(passages(source, target[backwards]), [Passage(800, SIZE, None)])


def test_pieces_are_joined(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformer.data.doctor.alignment_checks._PIECE", 400)
    source, target = sides
    gap = np.delete(np.arange(SIZE), 300)
    check(passages(source, target[gap]), [Passage(300, SIZE - 1, -1)])
