"""Training of single runs and of populations, interrupted and continued."""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from experiments.runs import trainer
from experiments.runs.result import write_result
from experiments.runs.run import Run
from transformer.spec import Spec
from transformer.training import metrics
from transformer.training.parallel import MeshPartitioner

Small = Callable[..., dict[str, Any]]

SPEEDS = {"seconds", "tokens_per_second", "model_flops_per_second"}


def last_state(run: Run) -> Any:
    step = run.latest_step()
    assert step is not None
    return run.restore(step)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"data__packed_width": 31}, {"model__lora_rank": 2}], ids=["plain", "packed", "lora"]
)
def test_members_of_a_population_learn_like_single_runs(
    small: Small, tmp_path: pathlib.Path, changes: dict[str, Any]
) -> None:
    """A population is interrupted after update 6, and its members continue separately."""
    # Adam's change hardly depends on a gradient's size: where that is next to nothing, rounding would decide.
    settings = {"train__steps": 9, "train__ema_decay": 0.9, "train__learning_rate": 0.01, "train__adam_epsilon": 1e-3}
    settings |= changes
    other = {"train__seed": 5, "train__learning_rate": 0.02, "model__dropout_sublayer": 0.0}
    configs = [small(evaluate__sentences=0, **settings), small(evaluate__sentences=0, **settings | other)]
    specs = [Spec.from_config(config) for config in configs]
    single_runs = [
        Run.open(spec, str(tmp_path / f"alone{number}"), (), clock=lambda: 0.0) for number, spec in enumerate(specs)
    ]
    for run in single_runs:
        trainer.train([run])

    first = Run.open(specs[0], str(tmp_path / "together0"), (), lambda: 0.0, "a")
    members = [first, first.sibling(specs[1], str(tmp_path / "together1"), "b")]
    save = Run._save

    def stop(run: Run, step: int, state: Any) -> None:
        save(run, step, state)
        if step == 6 and run is members[1]:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_save", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(members)
    for run in members:
        run.checkpoints.wait()
    for number, spec in enumerate(specs):
        trainer.train([Run.open(spec, str(tmp_path / f"together{number}"), (), clock=lambda: 0.0)])

    for number, run in enumerate(single_runs):
        state = last_state(Run.open(specs[number], str(tmp_path / f"together{number}"), (), clock=lambda: 0.0))
        for leaf, other in zip(jax.tree.leaves(state), jax.tree.leaves(last_state(run)), strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-5)
        events, expected_events = metrics.read(tmp_path / f"together{number}"), metrics.read(run.workdir.path)
        assert [(event["step"], event["split"]) for event in events] == [
            (other_event["step"], other_event["split"]) for other_event in expected_events
        ]
        for event, expected in zip(events, expected_events, strict=True):
            together_then = event["step"] <= 6 and event["split"] == "train"
            assert event.get("members", 1) == (2 if together_then else 1)
            for name in expected.keys() - SPEEDS - {"split"}:
                assert event[name] == pytest.approx(expected[name], rel=1e-3)


@pytest.mark.slow
def test_a_population_writes_the_files_of_single_runs(small: Small, tmp_path: pathlib.Path) -> None:
    config = small(train__steps=2, evaluate__every=2, evaluate__sentences=0, train__average_checkpoints=1)
    first = Run.open(Spec.from_config(config), str(tmp_path / "0"), (), lambda: 0.0, "a")
    config["train"]["seed"] = 1
    members = [first, first.sibling(Spec.from_config(config), str(tmp_path / "1"), "b")]
    trainer.train(members)
    for run in members:
        assert run.latest_step() == 2
        assert [event.get("members") for event in metrics.read(run.workdir.path) if event["split"] == "train"] == [2]
    perplexities = [metrics.read(run.workdir.path)[-1]["perplexity"] for run in members]
    assert perplexities[0] != perplexities[1]
    members[1].finish()
    result = write_result(members[1])
    assert json.loads(members[1].workdir.result.read_text()) == json.loads(json.dumps(result))
    assert (result["updates"], result["members"], set(result["splits"])) == (2, 2, {"test"})
    assert result["parameters"] > 1000
    assert result["training_flops"] > 6 * result["target_tokens"] * 12 * 12
    assert result["splits"]["test"]["perplexity"] > 1


@pytest.mark.slow
def test_other_runs_are_no_population(small: Small, trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec = Spec.from_config(small())
    finished = Run.open(spec, str(trained), (), clock=lambda: 0.0)
    with pytest.raises(ValueError, match="checkpoints of a common step"):
        trainer.train([finished, finished.sibling(dataclasses.replace(spec), str(tmp_path / "a"), "a")])
    other = Spec.from_config(small(model__heads=1))
    with pytest.raises(ValueError, match="more than hyperparameters"):
        trainer.train([finished, finished.sibling(other, str(tmp_path / "b"), "b")])


def test_grain_is_imported_before_threads_compile(
    small: Small, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Grain is being imported, imports in other threads return wrong modules."""
    monkeypatch.delitem(sys.modules, "grain", raising=False)
    imported = []

    def compile_step_aot(*_: Any) -> Any:
        imported.append("grain" in sys.modules)
        raise KeyboardInterrupt

    monkeypatch.setattr(MeshPartitioner, "compile_step_aot", compile_step_aot)
    with pytest.raises(KeyboardInterrupt):
        trainer.train([Run.open(Spec.from_config(small()), str(tmp_path / "run"), (), lambda: 0.0)])
    assert imported == [True]
