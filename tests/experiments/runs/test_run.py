"""Opening and finishing a run."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs import trainer
from experiments.runs.run import Run
from transformer.spec import Spec

Small = Callable[..., dict[str, Any]]


def test_the_test_split_need_not_exist_before_the_end(small: Small, tmp_path: pathlib.Path) -> None:
    config = small(data__test_split="absent", train__steps=1, train__average_checkpoints=1)
    run = Run.open(Spec.from_config(config), str(tmp_path / "run"), (), clock=lambda: 0.0)
    trainer.train([run])
    with pytest.raises(FileNotFoundError, match="absent"):
        run.finish(0.0)


def test_a_vocabulary_too_large_for_the_corpus_is_an_error(small: Small, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"data.vocab_size.*5000"):
        Run.open(Spec.from_config(small(data__vocab_size=5000)), str(tmp_path / "run"), (), clock=lambda: 0.0)
