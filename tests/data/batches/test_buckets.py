import numpy as np
import pytest

from transformer.data.batches import buckets as module
from transformer.data.batches.bucket_shapes import BatchShape, LengthHistogram
from transformer.data.batches.buckets import BucketAssignment, assign, assign_to, balance


def lengths_of(pairs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Like a corpus of image descriptions: about 15 tokens, translations of about the same length, a long tail."""
    random = np.random.default_rng(seed)
    source = np.clip(random.gamma(9, 1.7, pairs), 3, 61).astype(np.int32)
    target = np.clip(source * random.normal(0.9, 0.1, pairs) + random.normal(1, 1, pairs), 2, 53).astype(np.int32)
    return source, target


def efficiency(lengths: tuple[np.ndarray, np.ndarray], assignment: BucketAssignment) -> float:
    real = sum(int(side.sum()) for side in lengths)
    return real / sum(shape.cells * count for shape, count in zip(assignment.shapes, assignment.batches, strict=True))


def check(lengths: tuple[np.ndarray, np.ndarray], assignment: BucketAssignment) -> None:
    """Every pair is in first shape that holds it, in just enough batches."""
    assert sorted(np.concatenate(assignment.members).tolist()) == list(range(len(lengths[0])))
    for shape, members, batches in zip(assignment.shapes, assignment.members, assignment.batches, strict=True):
        assert batches == -(-len(members) // shape.rows)
        if len(members):
            assert lengths[0][members].max() <= shape.source
            assert lengths[1][members].max() <= shape.target


@pytest.mark.parametrize(
    ("pairs", "budget", "buckets", "row_multiple", "width_multiple"),
    [
        (1, 2048, 8, 8, 1),
        (7, 512, 3, 8, 1),
        (50, 8192, 8, 6, 4),
        (50, 512, 1, 8, 1),
        (499, 512, 3, 1, 1),
        (499, 2048, 12, 8, 8),
        (3001, 512, 7, 8, 1),
        (3001, 8192, 5, 6, 4),
    ],
)
def test_every_pair_has_a_bucket_within_the_budget(pairs, budget, buckets, row_multiple, width_multiple):
    lengths = lengths_of(pairs)
    assignment = assign(lengths, budget, buckets, row_multiple, width_multiple)
    check(lengths, assignment)
    assert len(assignment.shapes) <= buckets
    assert len(set(assignment.shapes)) == len(assignment.shapes)
    for shape, batches in zip(assignment.shapes, assignment.batches, strict=True):
        assert batches > 0
        assert shape.rows % row_multiple == 0
        assert shape.source % width_multiple == shape.target % width_multiple == 0
        assert shape.rows * max(shape.source, shape.target) <= budget


@pytest.mark.parametrize("budget", [2048, 4096])
def test_twelve_shapes_leave_less_than_a_tenth_empty(budget):
    lengths = lengths_of(9973)
    assignment = assign(lengths, budget, 12)
    assert efficiency(lengths, assignment) > 0.9
    tokens = [shape.rows * max(shape.source, shape.target) for shape in assignment.shapes[:-1]]
    assert min(tokens) > 0.8 * budget  # batches vary little in size


def test_leftovers_that_cost_least_move():
    histogram = LengthHistogram(np.array([2, 4]), np.array([4, 2]), np.array([5, 5]))
    shapes = [BatchShape(7, 4, 4), BatchShape(3, 6, 3), BatchShape(8, 3, 12)]
    counts, batches = balance(histogram, shapes, None)
    # All ten fit the first shape, of 7 rows and 8 tokens a row. Of the three left over, (4, 2) would take 9 tokens in
    # the second shape, and (2, 4), too long for that, 15 in the third.
    assert counts.tolist() == [[5, 0, 0], [2, 3, 0]]
    assert batches == [1, 1, 0]


def test_leftovers_stay_where_empty_rows_cost_less():
    histogram = LengthHistogram(np.array([4, 9]), np.array([4, 9]), np.array([13, 4]))
    # One row of 8 tokens stays empty; six pairs that move would each take 10 more tokens.
    counts, batches = balance(histogram, [BatchShape(7, 4, 4), BatchShape(5, 9, 9)], None)
    assert counts.tolist() == [[13, 0], [0, 4]]
    assert batches == [2, 1]


def test_nearly_full_batches_are_made_shorter_instead():
    lengths = np.repeat([3, 9], [57, 24])
    assignment = assign((lengths, lengths), 60, 2, row_multiple=1)
    assert assignment.shapes == (BatchShape(19, 3, 3), BatchShape(6, 9, 9))  # not 20 rows, of which 3 would stay empty
    assert assignment.batches == (3, 4)


def test_leftovers_gather_in_few_batches():
    lengths = lengths_of(5003)
    assignment = assign(lengths, 4096, 8)
    rows = sum(shape.rows * count for shape, count in zip(assignment.shapes, assignment.batches, strict=True))
    assert rows - 5003 < 0.01 * 5003


def test_a_corpus_of_less_than_a_batch_has_one_shape_with_just_its_rows():
    lengths = (np.array([3, 5, 4] * 4), np.array([7, 6, 2] * 4))
    assert assign(lengths, 4096, 8).shapes == (BatchShape(16, 5, 7),)


def test_large_tables_are_avoided(monkeypatch):
    lengths = lengths_of(1009)
    expected = assign(lengths, 1024, 6)
    for chunk, table in ((101, 1 << 22), (1 << 20, 7)):  # counted in several chunks; sorted
        monkeypatch.setattr(module, "_CHUNK", chunk)
        monkeypatch.setattr(module, "_TABLE", table)
        assignment = assign(lengths, 1024, 6)
        assert (assignment.shapes, assignment.batches) == (expected.shapes, expected.batches)
        assert all((first == second).all() for first, second in zip(assignment.members, expected.members, strict=True))
    monkeypatch.setattr(module, "_TABLE", 1 << 22)
    far = (np.array([3, 60_000]), np.array([60_000, 3]))  # a table of 3.6 billion bins
    assert [members.tolist() for members in assign_to(far, [BatchShape(2, 60_000, 60_000)]).members] == [[0, 1]]


def test_the_choice_does_not_depend_on_the_order_of_pairs():
    lengths = lengths_of(1009)
    order = np.random.default_rng(1).permutation(1009)
    first, second = (assign(sides, 1024, 6) for sides in (lengths, (lengths[0][order], lengths[1][order])))
    assert (first.shapes, first.batches) == (second.shapes, second.batches)


def test_long_lengths_are_counted_in_units(monkeypatch):
    seen = []
    monkeypatch.setattr(module.bucket_shapes, "choose_bounds", lambda cells, count: seen.append(cells) or [(120, 63)])
    assign((np.array([1498, 3]), np.array([700, 745])), 100_000, 6, width_multiple=2)
    # 1498 tokens in at most 128 steps are steps of 12, a multiple of 2.
    assert (seen[0].source.tolist(), seen[0].target.tolist()) == ([1, 125], [63, 59])


def test_lengths_beyond_the_finest_are_assigned():
    source = np.arange(1, 1500, dtype=np.int32)
    assignment = assign((source, source[::-1] // 2 + 1), 16_384, 6)
    check((source, source[::-1] // 2 + 1), assignment)
    assert len(assignment.shapes) > 3


def test_pairs_are_assigned_to_given_shapes():
    shapes = (BatchShape(4, 5, 5), BatchShape(2, 5, 9), BatchShape(2, 12, 12))
    lengths = (np.array([5, 5, 4, 1, 12, 5]), np.array([5, 4, 1, 5, 2, 6]))
    assignment = assign_to(lengths, shapes)
    assert assignment.shapes == shapes
    assert [members.tolist() for members in assignment.members] == [
        [0, 1, 2, 3],
        [],
        [4, 5],
    ]  # pair 5 fits the second bucket, where it would be the only one
    check(lengths, assignment)


def test_a_pair_that_fits_no_given_shape_is_an_error():
    with pytest.raises(ValueError, match="a pair of 6 and 2 tokens fits none of 2 shapes"):
        assign_to((np.array([3, 6]), np.array([2, 2])), [BatchShape(8, 5, 9), BatchShape(8, 3, 12)])
