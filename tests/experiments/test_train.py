"""The command `train`: the files it writes, and how it continues."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from experiments.runs import trainer
from experiments.runs.execute import train_and_test
from experiments.runs.run import Run
from transformer.spec import Spec
from transformer.training import metrics
from transformer.training.checkpoint import Checkpoints

Small = Callable[..., dict[str, Any]]

TREE_MODE = """
import json, pathlib, sys
import flax
from experiments.runs import loading, trainer
from experiments.runs.run import Run
from transformer.spec import Spec

assert not flax.config.nnx_graph_mode
spec, folder = Spec.from_config(json.loads(sys.argv[1])), sys.argv[2]
run = Run.open(spec, folder, (), clock=lambda: 0.0)
trainer.train([run])
run.finish()
system, params, _ = loading.load([folder, folder])
print(len(system.translator(params, spec.decode).translate(["Un deux."])))
"""
TIMES = ("seconds", "tokens_per_second", "model_flops_per_second")  # values of an event that differ between equal runs


def last_state(folder: pathlib.Path, spec: Spec) -> Any:
    run = Run.open(spec, str(folder), (), clock=lambda: 0.0)
    steps = run.checkpoints.steps()
    return run.checkpoints.restore(steps[-1], run.system.initial_state())


def test_a_run_leaves_the_files_that_the_readme_lists(trained: pathlib.Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {
        "config.json",
        "versions.json",
        "tokenizer.model",
        "checkpoints",
        "metrics.jsonl",
        "goodput.jsonl",
        "tensorboard",
    } <= names
    assert (trained / "figures/cross_attention.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (trained / "translations").iterdir()) == [
        "test.6.txt", "validation.3.txt", "validation.6.txt",
    ]  # fmt: skip
    assert len((trained / "translations/test.6.txt").read_text(encoding="utf-8").split("\n")) == 5 + 1
    versions = json.loads((trained / "versions.json").read_text(encoding="utf-8"))
    assert versions["packages"]["jax"] == jax.__version__
    assert Checkpoints(trained / "checkpoints").steps() == [3, 6]


def test_events_are_in_order_and_the_test_split_is_opened_last(trained: pathlib.Path) -> None:
    events = [(event["step"], event["split"]) for event in metrics.read(trained)]
    assert events == [
        (2, "train"), (3, "train"), (3, "validation"), (4, "train"), (6, "train"), (6, "validation"), (6, "test"),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_interrupted_run_continues_bit_for_bit(
    small: Small, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    spec = Spec.from_config(small(train__ema_decay=0.9, train__accumulate=accumulate, evaluate__sentences=0))
    uninterrupted, parts = tmp_path / "whole", tmp_path / "parts"
    trainer.train([Run.open(spec, str(uninterrupted), (), clock=lambda: 0.0)])

    cut = Run.open(spec, str(parts), (), clock=lambda: 0.0)
    log = Run._log

    def stop(run: Run, step: int, values: dict[str, float]) -> None:
        log(run, step, values)
        if step == 4:
            run.checkpoints.wait()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_log", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer.train([cut])
    assert cut.checkpoints.steps() == [3, 4]
    cut.checkpoints.close()
    shutil.rmtree(parts / "checkpoints/4")  # as if it had been killed: nothing was saved on the way out
    trainer.train([Run.open(spec, str(parts), (), clock=lambda: 0.0)])

    for one, other in zip(
        jax.tree.leaves(last_state(uninterrupted, spec)), jax.tree.leaves(last_state(parts, spec)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    logged = [
        [{name: value for name, value in event.items() if name not in TIMES} for event in metrics.read(run)]
        for run in (uninterrupted, parts)
    ]
    assert logged[0] == logged[1]


@pytest.mark.slow
def test_early_stopping_keeps_the_best(small: Small, tmp_path: pathlib.Path) -> None:
    # With no learning rate to speak of nothing improves after the first evaluation.
    config = small(
        train__early_stopping="bleu", train__patience=1, train__steps=30, train__learning_rate=1e-12,
        evaluate__every=1, checkpoint__every=1,
    )  # fmt: skip
    folder = tmp_path / "run"
    train_and_test(Spec.from_config(config), str(folder))
    assert Checkpoints(folder / "checkpoints").steps()[-1] == 2
    assert Checkpoints(folder / "best").steps() == [1]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["transformer", "rnnsearch", "seq2seq"])
def test_a_run_trains_and_translates_in_tree_mode(small: Small, tmp_path: pathlib.Path, architecture: str) -> None:
    """NNX_GRAPH_MODE=false is the announced default of Flax; the environment sets it before Flax is imported."""
    heads = 3 if architecture == "transformer" else 1
    config = json.dumps(small(model__architecture=architecture, model__heads=heads, train__steps=2))
    environment = os.environ | {"NNX_GRAPH_MODE": "false", "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, "-c", TREE_MODE, config, str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.endswith("\n1\n")
