import collections
import itertools

import numpy as np
import pytest

from transformer.data.batches.bucket_shapes import (
    BatchShape,
    LengthHistogram,
    choose_bounds,
    neighbours,
    rows_within,
    sort_bounds,
)


def cells_of(pairs: dict[tuple[int, int], int]) -> LengthHistogram:
    source, target = zip(*pairs, strict=True)
    return LengthHistogram(np.array(source), np.array(target), np.array(list(pairs.values())))


def total(pairs: dict[tuple[int, int], int], bounds) -> int:
    """Computes the cells of all pairs in their narrowest buckets by brute force."""
    return sum(count * min(s + t for s, t in bounds if s >= a and t >= b) for (a, b), count in pairs.items())


@pytest.fixture(params=range(3))
def pairs(request) -> dict[tuple[int, int], int]:
    random = np.random.default_rng(request.param)
    places = itertools.product(range(1, 8), range(1, 7))
    return {lengths: int(random.integers(1, 99)) for lengths in places if random.random() < 0.5}


def test_two_bounds_are_the_best_two(pairs):
    cells = cells_of(pairs)
    limit = (int(cells.source.max()), int(cells.target.max()))
    candidates = itertools.product(range(1, limit[0] + 1), range(1, limit[1] + 1))
    best = min(total(pairs, (bound, limit)) for bound in candidates)
    assert total(pairs, choose_bounds(cells, 2)) == best


def test_three_bounds_are_nearly_the_best_three(pairs):
    cells = cells_of(pairs)
    limit = (int(cells.source.max()), int(cells.target.max()))
    candidates = itertools.product(range(1, limit[0] + 1), range(1, limit[1] + 1))
    best = min(total(pairs, (*two, limit)) for two in itertools.combinations(candidates, 2))
    assert total(pairs, choose_bounds(cells, 3)) <= 1.01 * best


@pytest.mark.parametrize("count", [3, 4, 7])
def test_no_move_of_a_bound_saves_anything(count):
    random = np.random.default_rng(0)
    source = random.poisson(9, 300) + 2
    lengths = zip(source.tolist(), (source + random.integers(-2, 3, 300)).clip(1).tolist(), strict=True)
    pairs = dict(collections.Counter(lengths))
    bounds = choose_bounds(cells_of(pairs), count)
    for index in range(count - 1):
        for bound in neighbours(bounds[index], bounds[-1]):
            moved = [*bounds[:index], bound, *bounds[index + 1 :]]
            assert total(pairs, moved) >= total(pairs, bounds)


def test_more_bounds_never_cost_more(pairs):
    cells = cells_of(pairs)
    costs = [total(pairs, choose_bounds(cells, count)) for count in range(1, 9)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[3] > costs[7]


def test_bounds_are_no_more_than_asked_and_the_last_holds_all(pairs):
    cells = cells_of(pairs)
    for count in (1, 5, 11):
        bounds = choose_bounds(cells, count)
        assert len(bounds) <= count
        assert bounds[-1] == (cells.source.max(), cells.target.max())
        assert bounds == sort_bounds(bounds)


def test_with_enough_bounds_nothing_is_padded(pairs):
    few = {place: count for place, count in pairs.items() if max(place) < 4}
    real = sum(count * (source + target) for (source, target), count in few.items())
    assert total(few, choose_bounds(cells_of(few), 9 + 1)) == real


def test_the_two_sides_have_widths_of_their_own():
    pairs = {(5, 20): 10, (20, 5): 10, (20, 20): 1}
    assert sorted(choose_bounds(cells_of(pairs), 3)) == [(5, 20), (20, 5), (20, 20)]


def test_neighbours_stay_inside():
    assert set(neighbours((1, 1), (2, 2))) == {(2, 1), (1, 2), (2, 2)}
    assert (4, 7) in neighbours((7, 7), (9, 9))
    assert (7, 7) not in neighbours((7, 7), (9, 9))


@pytest.mark.parametrize(
    ("bound", "tokens", "multiple", "rows"),
    [((11, 7), 1000, 8, 88), ((7, 11), 1000, 8, 88), ((11, 7), 1000, 1, 90), ((11, 7), 88, 8, 8)],
)
def test_rows_fill_the_budget_on_the_wider_side(bound, tokens, multiple, rows):
    assert rows_within(bound, tokens, multiple) == rows


def test_a_budget_too_small_is_an_error_with_its_numbers():
    with pytest.raises(ValueError, match=r"data.tokens_per_batch: 87 is less than 8 rows of 11 tokens \(88\)"):
        rows_within((7, 11), 87, 8)


def test_cells_of_a_shape_are_those_of_both_sides():
    assert BatchShape(3, 5, 7).cells == 36
