"""Evaluation and search that do not fit into memory are refused before training or translation starts."""

import dataclasses
import pathlib

import numpy as np
import pytest

from experiments.runs import evaluation_memory, loading
from experiments.runs.loading import TrainedSystem
from experiments.runtime import preflight
from transformer.data.batches.bucket_shapes import BatchShape
from transformer.data.token_dataset import Batch

GIB = 1 << 30
SHAPES = [BatchShape(8, 23, 19)]


@pytest.fixture(scope="module")
def loaded(trained: pathlib.Path) -> TrainedSystem:
    return loading.load([str(trained)])


def validation_batch(rows: int, width: int) -> Batch:
    return Batch(*(np.ones((rows, width), np.int32) for _ in range(2)))


@pytest.mark.parametrize(("memory", "fits"), [(GIB, True), (GIB // 1024, False), (None, True)])
def test_the_loss_of_the_longest_pair_must_fit(
    loaded: TrainedSystem, monkeypatch: pytest.MonkeyPatch, memory: int | None, fits: bool
) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: memory)
    batches = [validation_batch(8, 23), validation_batch(2, 97), validation_batch(2, 31)]
    if fits:
        evaluation_memory.check_loss(loaded.system, batches, SHAPES, "line 7", 0)
        return
    with pytest.raises(MemoryError, match=r"^line 7: the loss of the pair needs .* a device that has 1\.0 MiB; split"):
        evaluation_memory.check_loss(loaded.system, batches, SHAPES, "line 7", 1 << 20)


def test_a_loss_on_the_shapes_of_training_needs_no_check(
    loaded: TrainedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: 1)
    evaluation_memory.check_loss(loaded.system, [validation_batch(2, 19)], SHAPES, "line 7", 0)


def test_a_search_next_to_the_training_state_must_fit(loaded: TrainedSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = loaded.system.spec.decode
    for memory in (None, GIB):  # a search that surely fits is not compiled
        monkeypatch.setattr(preflight, "available_memory", lambda memory=memory: memory)
        evaluation_memory.check_search(loaded.system, decode)
    with pytest.raises(MemoryError, match=r"a search of 4 sentences with 32 tokens .*; lower decode\.beam_size"):
        evaluation_memory.check_search(loaded.system, decode, state=GIB)


def test_a_batch_size_that_fits_is_given(loaded: TrainedSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: 4 * GIB)
    monkeypatch.setattr(evaluation_memory, "_memory_bytes", lambda *_: (GIB, 8 * GIB))
    monkeypatch.setattr(evaluation_memory, "_state_bytes", lambda *_: 2 * GIB)
    decode = dataclasses.replace(loaded.system.spec.decode, batch_size=10**6, beam_size=3000)
    with pytest.raises(MemoryError, match=r"beam_size=3000 needs 9\.00 GiB .*; a batch size of 350000 would fit"):
        evaluation_memory.check_search(loaded.system, decode)


def test_a_search_whose_state_alone_is_too_large_is_not_compiled(
    loaded: TrainedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: GIB)
    monkeypatch.setattr(evaluation_memory, "_memory_bytes", None)
    decode = dataclasses.replace(loaded.system.spec.decode, batch_size=10**6)
    with pytest.raises(MemoryError, match=r"a batch size of \d+ would fit"):
        evaluation_memory.check_search(loaded.system, decode)
