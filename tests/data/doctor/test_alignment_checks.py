"""Misaligned passages: shifted by some lines, or unrelated."""

import dataclasses

import numpy as np
import pytest

from transformer.data import grammar
from transformer.data.doctor.alignment_checks import MisalignedPassage, misaligned_passages
from transformer.data.doctor.line_features import LineBlock, SideFeatures

SIZE = 1511
CLOSE = 6  # lines; neighbours may be similar


@pytest.fixture(scope="module")
def sides() -> tuple[SideFeatures, SideFeatures]:
    examples = [grammar.generate("train", index) for index in range(SIZE)]
    source = LineBlock([example.french for example in examples], 0, "fr", "en")
    target = LineBlock([example.english for example in examples], 0, "en", "fr")
    return source.features, target.features


def check_passages(passages: list[MisalignedPassage], expected: list[MisalignedPassage]) -> None:
    assert [passage.shift for passage in passages] == [passage.shift for passage in expected]
    for passage, expected_passage in zip(passages, expected, strict=True):
        assert abs(passage.start - expected_passage.start) <= CLOSE
        assert abs(passage.stop - expected_passage.stop) <= CLOSE


def test_aligned_pairs_have_no_passages(sides: tuple[SideFeatures, SideFeatures]) -> None:
    source, target = sides
    assert misaligned_passages(source, target) == []
    assert misaligned_passages(source[:99], target[1:100]) == []  # too few pairs
    by_length = np.argsort(source.num_characters, kind="stable")
    assert misaligned_passages(source[by_length], target[by_length]) == []
    # With less evidence, distant lines differ in length, which is not a sign of a shift.
    fewer = by_length[by_length < 1000]
    assert (
        misaligned_passages(*(dataclasses.replace(side[fewer], cognates=side.cognates[fewer] * 0) for side in sides))
        == []
    )
    rng = np.random.default_rng(0)
    noisy = np.arange(SIZE)
    noise = rng.choice(SIZE, SIZE // 5, replace=False)
    noisy[noise] = rng.permutation(noise)
    assert misaligned_passages(source, target[noisy]) == []
    assert misaligned_passages(source[np.zeros(SIZE, int)], target[np.zeros(SIZE, int)]) == []


@pytest.mark.parametrize("start", [0, 2, 500, 1450])
@pytest.mark.parametrize("missing", [1, 3])
def test_a_missing_line_shifts_all_later_lines(
    sides: tuple[SideFeatures, SideFeatures], start: int, missing: int
) -> None:
    source, target = sides
    gap = np.delete(np.arange(SIZE), range(start, start + missing))
    check_passages(misaligned_passages(source, target[gap]), [MisalignedPassage(start, SIZE - missing, -missing)])
    check_passages(misaligned_passages(source[gap], target), [MisalignedPassage(start, SIZE - missing, missing)])


def test_a_long_gap(sides: tuple[SideFeatures, SideFeatures]) -> None:
    source, target = sides
    gap = np.delete(np.arange(SIZE), range(700, 740))
    check_passages(misaligned_passages(source, target[gap]), [MisalignedPassage(700, SIZE - 40, -40)])
    gap = np.delete(np.arange(SIZE), range(200, 500))  # longer than the maximum shift; found by the sizes of the sides
    passages = misaligned_passages(source, target[gap])
    assert passages[-1].shift == -300
    assert abs(passages[0].start - 200) <= CLOSE


def test_a_temporary_shift(sides: tuple[SideFeatures, SideFeatures]) -> None:
    source, target = sides
    order = np.r_[0:300, 301:380, 300, 380:SIZE]
    check_passages(misaligned_passages(source, target[order]), [MisalignedPassage(300, 379, -1)])


def test_shifts_that_grow(sides: tuple[SideFeatures, SideFeatures]) -> None:
    source, target = sides
    gaps = np.delete(np.arange(SIZE), [200, 500, 900])
    expected = [MisalignedPassage(200, 500, -1), MisalignedPassage(500, 900, -2), MisalignedPassage(900, SIZE - 3, -3)]
    check_passages(misaligned_passages(source, target[gaps]), expected)


def test_lines_out_of_order(sides: tuple[SideFeatures, SideFeatures]) -> None:
    source, target = sides
    shuffled = np.random.default_rng(1).permutation(SIZE)
    assert misaligned_passages(source, target[shuffled]) == [MisalignedPassage(0, SIZE, None)]
    backwards = np.r_[0:800, SIZE - 1 : 799 : -1]
    check_passages(misaligned_passages(source, target[backwards]), [MisalignedPassage(800, SIZE, None)])


def test_passages_of_chunks_are_joined(
    sides: tuple[SideFeatures, SideFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformer.data.doctor.alignment_checks._CHUNK", 400)
    source, target = sides
    gap = np.delete(np.arange(SIZE), 300)
    check_passages(misaligned_passages(source, target[gap]), [MisalignedPassage(300, SIZE - 1, -1)])
