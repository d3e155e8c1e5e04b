"""Attention metrics that training recorded."""

import pathlib

import pytest

from experiments.analyze import analyze
from tests.experiments.studies.conftest import flags, results


def test_attention_metrics_of_training(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    analyze(flags(trained, study=["training"], output=str(tmp_path)))
    curves = results(tmp_path)["training"]["attention_entropy"]
    assert list(curves) == ["encoder/0", "decoder/0", "cross/0"]
    assert [step for step, _ in curves["cross/0"]] == [3, 6]
    assert all(value > 0 for points in curves.values() for _, value in points)
    with pytest.raises(ValueError, match=r"not data\.source=files"):
        analyze(flags(trained, study=["phenomena"], output=str(tmp_path)))


def test_a_run_without_attention_metrics_is_rejected(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"metrics\.jsonl has no attention"):
        analyze(flags(run, study=["training"], output=str(tmp_path)))
