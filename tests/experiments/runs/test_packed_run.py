"""A run with packed rows, from training to a translation. What such a model learns: tests/models/test_packed.py."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.evaluate import evaluate
from experiments.runs.execute import open_run, train_and_test
from transformer.spec import Spec

pytestmark = pytest.mark.slow

Small = Callable[..., dict[str, Any]]
PACKED = {"data__packed_width": 31, "data__buckets": 3}


@pytest.fixture(scope="module")
def packed(small: Small, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs") / "packed"
    train_and_test(Spec.from_config(small(**PACKED)), str(folder))
    return folder


def events(folder: pathlib.Path, split: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["split"] == split]


def test_it_continues_after_an_interruption(packed: pathlib.Path, small: Small, tmp_path: pathlib.Path) -> None:
    for steps in (3, 6):
        train_and_test(Spec.from_config(small(**PACKED, train__steps=steps)), str(tmp_path / "again"), ["train.steps"])
    for split in ("train", "validation"):
        one, other = (
            [event["loss"] for event in events(folder, split)][-1:] for folder in (packed, tmp_path / "again")
        )
        assert one
        np.testing.assert_array_equal(one, other)


def test_it_can_be_evaluated(packed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert evaluate([str(packed)], "test", None, None, str(tmp_path / "out.txt"))["sentences"] == 5


def test_another_packed_width_is_another_corpus(packed: pathlib.Path, small: Small) -> None:
    with pytest.raises(ValueError, match="packed_width"):
        train_and_test(Spec.from_config(small(**PACKED | {"data__packed_width": 37, "train__steps": 9})), str(packed))


def test_sentences_of_a_skipped_update_are_written_separately(small: Small, tmp_path: pathlib.Path) -> None:
    run = open_run(Spec.from_config(small(**PACKED)), str(tmp_path / "spoiled"))
    hooks, _ = run.start(0)
    hooks.nonfinite(1)
    skipped = json.loads((tmp_path / "spoiled" / "nonfinite" / "1.json").read_text(encoding="utf-8"))
    assert len(skipped["0"]) > len(run.plan.batch(0).source)
    assert all(pair["source"] and pair["target"] for pair in skipped["0"])
