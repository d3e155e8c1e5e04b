import itertools
import multiprocessing
import threading
import time

import numpy as np
import pytest
from absl import flags

from transformer.data.batches.loader import HostBatches, StackedBatches, load_batches
from transformer.data.batches.plan import BatchPlan
from transformer.data.token_dataset import Batch, TokenizedPairs, TokenizedSide
from transformer.spec import EOS, PAD


@pytest.fixture(scope="module")
def plan() -> BatchPlan:
    """The plan of 503 pairs of random lengths and tokens."""
    random = np.random.default_rng(0)
    source = random.integers(2, 24, 503)
    target = np.clip(source + random.integers(-3, 4, 503), 2, None)

    def side(lengths: np.ndarray) -> TokenizedSide:
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = random.integers(4, 5000, offsets[-1]).astype(np.uint16)
        tokens[offsets[1:] - 1] = EOS
        return TokenizedSide(tokens, offsets)

    pairs = TokenizedPairs(side(source), side(target), np.arange(503), dropped=5)
    return BatchPlan(pairs, tokens_per_batch=512, buckets=6, seed=0)


def equal(first: Batch, second: Batch) -> bool:
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in zip(first, second, strict=True))


def test_stacked_batches_hold_one_batch_of_each_plan(plan):
    plans = (plan, plan.with_seed(1), plan.with_seed(7))
    stacked = StackedBatches(plans).batch(3)
    assert stacked.source.shape == (3, *plan.batch(3).source.shape)
    for member, own in enumerate(plans):
        assert equal(Batch(*(side[member] for side in stacked)), own.batch(3))


@pytest.mark.parametrize("bounds", [(0, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5), (0, 0, 5)])
def test_shards_of_all_processes_are_the_batch(plan, bounds):
    """Five shards, which do not divide the number of rows; a process may have no shard."""
    for k in (0, 3, 1000):
        batch = plan.batch(k)
        shards = [HostBatches(plan, first, last, 5).batch(k) for first, last in itertools.pairwise(bounds)]
        for side, expected in zip(zip(*shards, strict=True), batch, strict=True):
            rows = np.concatenate(side)
            assert len(rows) == -(-len(expected) // 5) * 5 > len(expected)
            assert (rows[: len(expected)] == expected).all()
            assert (rows[len(expected) :] == PAD).all()


@pytest.mark.parametrize(
    ("workers", "start"), [(0, 0), (0, 10**6 + 3), pytest.param(2, 10**6 + 3, marks=pytest.mark.slow)]
)
def test_order_and_content_do_not_depend_on_workers(plan, workers, start):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain reads flags of its own
    stream = load_batches(plan, start, workers, prefetch=5)
    batches = list(itertools.islice(stream, 23))
    stream.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert [k for k, _ in batches] == list(range(start, start + 23))
    for k, batch in batches:
        assert isinstance(batch, Batch)
        assert equal(batch, plan.batch(k))
        assert batch.source.flags.owndata  # no view of memory that a worker has meanwhile taken back


def test_starting_far_out_takes_no_longer(plan):
    next(load_batches(plan, 0, 0, 2))  # imports Grain
    start = time.monotonic()
    assert next(load_batches(plan, 10**12, 0, 2))[0] == 10**12
    assert time.monotonic() - start < 2


def test_closing_ends_the_threads(plan):
    stream = load_batches(plan, 0, 0, 4)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.name.startswith("grain"):
            thread.join(5)
            assert not thread.is_alive()
