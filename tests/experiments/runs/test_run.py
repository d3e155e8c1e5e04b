"""Opening and finishing a run."""

import pathlib
from collections.abc import Callable
from typing import Any, cast

import jax
import pytest

from experiments.runs import trainer
from experiments.runs.result import write_result
from experiments.runs.run import Run
from experiments.runs.workdir import Workdir
from transformer.spec import Spec
from transformer.training import metrics
from transformer.training.checkpoint import Checkpoints
from transformer.training.loop import DivergenceError
from transformer.training.state import TrainState

Small = Callable[..., dict[str, Any]]


@pytest.mark.slow
def test_the_test_split_need_not_exist_before_the_end(small: Small, tmp_path: pathlib.Path) -> None:
    config = small(data__test_split="absent", train__steps=1, train__average_checkpoints=1)
    run = Run.open(Spec.from_config(config), str(tmp_path / "run"), (), clock=lambda: 0.0)
    trainer.train([run])
    with pytest.raises(FileNotFoundError, match="absent"):
        run.finish()


def test_a_vocabulary_too_large_for_the_corpus_is_an_error(small: Small, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"data.vocab_size.*5000"):
        Run.open(Spec.from_config(small(data__vocab_size=5000)), str(tmp_path / "run"), (), clock=lambda: 0.0)


def test_too_few_pairs_are_a_warning(small: Small, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = Spec.from_config(small(data__train_pairs=50_000))
    Run.open(spec, str(tmp_path / "run"), (), clock=lambda: 0.0).describe()
    lines = capsys.readouterr().out.splitlines()
    assert "warning: data.train_pairs=50000, but split 'train' has only 61 pairs" in lines


def test_a_split_is_scored_by_the_final_parameters(small: Small, tmp_path: pathlib.Path) -> None:
    """Not by the translations that an evaluation wrote for the same split and step."""
    config = small(train__steps=3, train__average_checkpoints=1, evaluate__sentences=7)
    run = Run.open(Spec.from_config(config), str(tmp_path / "run"), (), clock=lambda: 0.0)
    trainer.train([run])
    path, references = run.workdir.translations("validation", 3), [pair.target for pair in run.shared.validation]
    assert len(path.read_text().splitlines()) == len(references) == 7
    run.workdir.write_translations("validation", 3, references)  # as if greedy search were perfect
    result = write_result(run, ["validation"])
    scores, texts = run.score_split("validation")
    assert result["splits"]["validation"]["bleu"] == scores["bleu"] < 100
    assert path.read_text().splitlines() == texts != references


@pytest.mark.slow
def test_a_run_is_finished_twice_with_one_split_for_validation_and_test(small: Small, tmp_path: pathlib.Path) -> None:
    changes = {"train__early_stopping": "loss", "train__steps": 2, "evaluate__every": 1, "checkpoint__every": 1}
    spec = Spec.from_config(small(data__test_split="validation", **changes))
    for _ in range(2):
        run = Run.open(spec, str(tmp_path / "run"), (), clock=lambda: 0.0)
        trainer.train([run])
        run.finish()
    assert [event["step"] for event in Workdir(tmp_path / "run").evaluations(spec)] == [1, 2]


def filled(run: Run, value: float) -> TrainState:
    """Returns a state whose parameters are all `value`."""
    state = run.system.initial_state()
    return state._replace(params=jax.tree.map(lambda leaf: leaf * 0 + value, state.params))


def saved_value(checkpoints: Checkpoints, step: int, run: Run) -> float:
    return float(jax.tree.leaves(checkpoints.restore_params(step, run.system.param_shapes))[0].flat[0])


@pytest.fixture
def rolling_back(small: Small, tmp_path: pathlib.Path) -> Run:
    config = small(
        train__early_stopping="loss", train__on_nonfinite="rollback", train__rollback_limit=3, checkpoint__every=10
    )
    return Run.open(Spec.from_config(config), str(tmp_path / "run"), (), clock=lambda: 0.0)


def test_a_rollback_restores_the_best_checkpoint(rolling_back: Run) -> None:
    """The best of the discarded updates, 30, makes room for the best before them, 20, and for a new one of 30."""
    run = rolling_back
    hooks, _ = run.start(0)
    for step, value in ((10, 1.0), (20, 2.0)):
        hooks.best(step, filled(run, value))
        hooks.save(step, filled(run, value))
    hooks.best(25, filled(run, 2.5))
    hooks.best(30, filled(run, 3.0))
    run.roll_back("no finite gradient")
    hooks, _ = run.start(20)
    best = Checkpoints(run.workdir.best)
    assert (best.steps(), saved_value(best, 20, run)) == ([20], 2.0)
    hooks.best(30, filled(run, 4.0))
    best = Checkpoints(run.workdir.best)
    assert (best.steps()[-1], saved_value(best, 30, run)) == (30, 4.0)
    assert run.learning_rate_factor(20) == 0.5


def test_a_rollback_ignores_the_checkpoint_of_an_interruption(rolling_back: Run) -> None:
    run = rolling_back
    hooks, _ = run.start(0)
    hooks.save(10, filled(run, 1.0))
    hooks.save(15, filled(run, 1.5))
    assert run.latest_step() == 15
    run.roll_back("no finite gradient")
    assert run.latest_step() == 10
    hooks, _ = run.start(10)
    for update in (8, 11, 12):
        hooks.nonfinite(update)
    assert run.start(12)[0].nonfinite_before == 2


def test_rollbacks_have_a_limit(rolling_back: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before an interruption count."""
    attempts = []

    def diverge(runs: list[Run], profiled: range) -> None:
        attempts.append(runs[0].start(0))
        if len(attempts) == 2:
            raise KeyboardInterrupt
        raise DivergenceError("no finite gradient")

    monkeypatch.setattr(trainer, "_train", diverge)
    with pytest.raises(KeyboardInterrupt):
        trainer.train([rolling_back])
    run = Run.open(rolling_back.spec, str(rolling_back.workdir.path), (), clock=lambda: 0.0)
    with pytest.raises(DivergenceError, match=r"no finite gradient, after 3 rollbacks.*train.rollback_limit=3"):
        trainer.train([run])
    assert len(attempts) == 5
    factors = [cast(Any, event).get("learning_rate_factor") for event in metrics.read(run.workdir.path)]
    assert factors == [0.5, 0.25, 0.125]
