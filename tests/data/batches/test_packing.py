import pickle

import numpy as np
import pytest

from transformer.data.batches import packing
from transformer.data.batches.loader import HostBatches
from transformer.data.batches.packing import PackedPairs, pack
from transformer.data.batches.plan import BatchPlan
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.spec import EOS, PAD

PAIRS, WIDTH = 1009, 48


def make_side(lengths: np.ndarray, random: np.random.Generator) -> TokenizedSide:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = random.integers(4, 5000, offsets[-1]).astype(np.uint16)
    tokens[offsets[1:] - 1] = EOS
    return TokenizedSide(tokens, offsets)


def make_pairs(source: np.ndarray, target: np.ndarray) -> TokenizedPairs:
    random = np.random.default_rng(1)
    return TokenizedPairs(make_side(source, random), make_side(target, random), np.arange(len(source)), 5)


@pytest.fixture(scope="module")
def pairs() -> TokenizedPairs:
    """Of random lengths, most of them short."""
    random = np.random.default_rng(0)
    source = np.clip(random.poisson(11, PAIRS) + random.integers(0, 9, PAIRS), 2, 31)
    return make_pairs(source, np.clip(source + random.integers(-3, 5, PAIRS), 2, None))


@pytest.fixture(scope="module")
def packed(pairs: TokenizedPairs) -> PackedPairs:
    return pack(pairs, WIDTH)


def test_every_pair_is_in_one_row_and_every_row_fits(pairs: TokenizedPairs, packed: PackedPairs) -> None:
    assert sorted(packed.members.tolist()) == list(range(PAIRS))
    assert (np.diff(packed.starts) > 0).all()
    for lengths, own in zip(packed.lengths, pairs.lengths, strict=True):
        by_hand = [own[packed.members[a:b]].sum() for a, b in zip(packed.starts, packed.starts[1:], strict=False)]
        np.testing.assert_array_equal(lengths, by_hand)
        assert lengths.max() <= WIDTH


def test_a_row_is_its_pairs_one_after_the_other(pairs: TokenizedPairs, packed: PackedPairs) -> None:
    indices = np.array([3, -1, 0, len(packed) - 1, -1])
    batch = packed.batch(indices, WIDTH, WIDTH + 2)
    for side, rows, width in zip((pairs.source, pairs.target), batch, (WIDTH, WIDTH + 2), strict=True):
        assert rows.shape == (5, width)
        assert rows.dtype == np.int32
        for index, row in zip(indices, rows, strict=True):
            members = packed.members[packed.starts[index] : packed.starts[index + 1]] if index >= 0 else []
            expected = [token for member in members for token in side.sentence(member).tolist()]
            assert row.tolist() == expected + [PAD] * (width - len(expected))


def test_rows_have_little_padding(pairs: TokenizedPairs, packed: PackedPairs) -> None:
    """Less than a twentieth, where rows of one sentence have more in twelve shapes."""
    plan, twelve = (
        BatchPlan(dataset, tokens_per_batch=16 * WIDTH, buckets=buckets, seed=0)
        for dataset, buckets in ((packed, 1), (pairs, 12))
    )
    assert twelve.padding_efficiency < 0.94 < 0.96 < packed.num_tokens / ((2 * WIDTH - 1) * len(packed))
    assert plan.shapes == ((16, WIDTH - 1, WIDTH),)  # the sources are a little shorter
    assert plan.padding_efficiency > twelve.padding_efficiency
    assert plan.report()["pairs"] == PAIRS
    assert plan.report()["pairs_per_row"] == pytest.approx(PAIRS / len(packed))
    assert plan.report()["dropped"] == 5


def test_an_epoch_has_every_pair_once_and_another_has_other_neighbours(packed: PackedPairs) -> None:
    plan = BatchPlan(packed, tokens_per_batch=16 * WIDTH, buckets=1, seed=0)
    epochs = []
    for epoch in (0, 7):
        numbers = range(epoch * plan.batches_per_epoch(), (epoch + 1) * plan.batches_per_epoch())
        rows = [plan.indices(k) for k in numbers]
        indices = np.concatenate(rows)
        assert sorted(indices[indices >= 0].tolist()) == list(range(len(packed)))
        assert sum(int((plan.batch(k).source == EOS).sum()) for k in numbers) == PAIRS
        epochs.append({frozenset(rows_of_batch.tolist()) for rows_of_batch in rows})
    assert not epochs[0] & epochs[1]


def test_processes_and_workers_assemble_the_same_batch(packed: PackedPairs) -> None:
    plan = BatchPlan(packed, tokens_per_batch=16 * WIDTH, buckets=1, seed=0)
    batch, copied = plan.batch(77), pickle.loads(pickle.dumps(plan)).batch(77)
    halves = [HostBatches(plan, first, first + 1, 2).batch(77) for first in (0, 1)]
    for side, copy, *shards in zip(batch, copied, *halves, strict=True):
        np.testing.assert_array_equal(copy, side)
        np.testing.assert_array_equal(np.concatenate(shards), side)


def test_long_pairs_share_rows_with_short_ones() -> None:
    """Either side can be the full one."""
    pairs = make_pairs(np.array([9, 2, 5, 5, 1]), np.array([3, 8, 5, 5, 2]))
    packed = pack(pairs, 10)
    rows = [set(packed.members[a:b].tolist()) for a, b in zip(packed.starts, packed.starts[1:], strict=False)]
    assert sorted(map(sorted, rows)) == [[0, 4], [1], [2, 3]]


def test_the_number_of_patterns_hardly_grows_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 times as many pairs need no more patterns, so that millions of pairs are feasible."""
    counts = []
    patterns = packing._patterns

    def counted(histogram, width):
        row_patterns = list(patterns(histogram, width))
        counts.append(len(row_patterns))
        return row_patterns

    monkeypatch.setattr(packing, "_patterns", counted)
    source = np.arange(2, 19)
    for times in (1, 1000):
        pack(make_pairs(np.repeat(source, times), np.repeat(source[::-1], times)), 40)
    assert counts[1] <= 3 * counts[0] + 20


@pytest.mark.parametrize(("multiple", "widths"), [(1, (25, 40)), (8, (32, 40)), (40, (40, 40))])
def test_a_side_with_fewer_tokens_has_less_room(multiple: int, widths: tuple[int, int]) -> None:
    """Five eighths as many."""
    pairs = make_pairs(np.full(1000, 5), np.full(1000, 8))
    packed = pack(pairs, 40, multiple)
    assert tuple(int(side.max()) for side in packed.lengths) == (25, 40)
    plan = BatchPlan(packed, tokens_per_batch=400, buckets=1, seed=0, width_multiple=multiple)
    assert plan.shapes[0][1:] == widths


def test_the_packing_is_part_of_the_fingerprint(pairs: TokenizedPairs, packed: PackedPairs) -> None:
    prints = {pairs.fingerprint, packed.fingerprint, pack(pairs, WIDTH + 1).fingerprint}
    assert len(prints) == 3
    assert pack(pairs, WIDTH).fingerprint == packed.fingerprint


def test_a_sentence_longer_than_a_row_is_refused(pairs: TokenizedPairs) -> None:
    longest = max(int(side.max()) for side in pairs.lengths)
    with pytest.raises(ValueError, match=rf"^data\.packed_width: {longest - 1} is less than .* {longest} tokens"):
        pack(pairs, longest - 1)
