"""A run with an uncased vocabulary, from training to scores."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.evaluate import evaluate
from experiments.runs.execute import train_and_test
from transformer.spec import Spec

pytestmark = pytest.mark.slow

Small = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def uncased(small: Small, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs") / "uncased"
    train_and_test(Spec.from_config(small(data__uncased=True)), str(folder))
    return folder


def test_its_translations_are_in_lower_case(uncased: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out.txt"
    evaluate([str(uncased)], "test", None, None, str(out))
    text = out.read_text(encoding="utf-8")
    assert text.strip()
    assert text == text.lower()


def test_its_evaluations_have_a_caseless_score(uncased: pathlib.Path) -> None:
    lines = (uncased / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    evaluations = [event for event in map(json.loads, lines) if event["split"] == "validation"]
    assert evaluations
    assert all({"bleu", "bleu_paper"} <= set(event) for event in evaluations)


def test_it_cannot_continue_with_case(uncased: pathlib.Path, small: Small) -> None:
    with pytest.raises(ValueError, match=r"data\.uncased"):
        train_and_test(Spec.from_config(small(train__steps=9)), str(uncased), ["train.steps"])
