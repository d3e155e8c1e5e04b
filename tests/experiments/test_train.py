"""A whole run: what it leaves in its folder, how it continues, and what it refuses."""

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from experiments.runs import trainer
from experiments.runs.execute import train_and_test
from experiments.runs.run import Run
from experiments.runs.workdir import Workdir
from transformer.spec import Spec
from transformer.training import metrics
from transformer.training.checkpoint import Checkpoints

Small = Callable[..., dict[str, Any]]
TIMES = ("seconds", "tokens_per_second")  # of an event, what no two runs have in common


def last_state(folder: pathlib.Path, spec: Spec) -> Any:
    run = Run(spec, str(folder), (), clock=lambda: 0.0)
    steps = run.checkpoints.steps()
    return run.checkpoints.restore(steps[-1], run.system.fresh_state())


def test_a_run_leaves_what_the_readme_promises(trained: pathlib.Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "versions.json", "tokenizer.model", "checkpoints", "metrics.jsonl", "tensorboard"} <= names
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


def test_the_test_split_need_not_exist_before_the_end(small: Small, tmp_path: pathlib.Path) -> None:
    config = small(data__test_split="absent", train__steps=1, train__average_checkpoints=1)
    run = Run(Spec.from_config(config), str(tmp_path / "run"), (), clock=lambda: 0.0)
    trainer.train([run])
    with pytest.raises(FileNotFoundError, match="absent"):
        run.finish(0.0)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_was_cut_off_continues_bit_for_bit(
    small: Small, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    spec = Spec.from_config(small(train__ema_decay=0.9, train__accumulate=accumulate, evaluate__sentences=0))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer.train([Run(spec, str(whole), (), clock=lambda: 0.0)])

    cut = Run(spec, str(parts), (), clock=lambda: 0.0)
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
    trainer.train([Run(spec, str(parts), (), clock=lambda: 0.0)])

    for one, other in zip(
        jax.tree.leaves(last_state(whole, spec)), jax.tree.leaves(last_state(parts, spec)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    logged = [
        [{name: value for name, value in event.items() if name not in TIMES} for event in metrics.read(run)]
        for run in (whole, parts)
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


def test_a_folder_of_another_config_is_refused_and_left_alone(small: Small, trained: pathlib.Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    spec = Spec.from_config(small(model__heads=4, train__seed=3))
    with pytest.raises(ValueError, match=r"model.heads \(there 3, here 4\), train.seed \(there 0, here 3\)"):
        Run(spec, str(trained), (), clock=lambda: 0.0)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()} == before


def test_settings_that_change_no_result_may_differ(small: Small, trained: pathlib.Path) -> None:
    Workdir(trained).begin(Spec.from_config(small(train__log_every=5, decode__beam_size=2)))
    with pytest.raises(ValueError, match=r"train.steps"):
        Workdir(trained).begin(Spec.from_config(small(train__steps=7)))
    Workdir(trained).begin(Spec.from_config(small()))


def test_a_folder_from_before_a_setting_was_added_is_that_of_its_base_value(
    small: Small, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    kept = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    del kept["model"]["norm_kind"], kept["parallel"]
    (tmp_path / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    assert Workdir(tmp_path).spec() == Spec.from_config(small())
    with pytest.raises(ValueError, match=r"model.norm_kind \(there 'layer', here 'rms'\)"):
        Workdir(tmp_path).begin(Spec.from_config(small(model__norm_kind="rms")))
    Workdir(tmp_path).begin(Spec.from_config(small()))
    kept["model"]["zeta"] = 1
    (tmp_path / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(ValueError, match=r"unknown key: model\.zeta"):
        Workdir(tmp_path).spec()


def test_a_folder_with_other_files_is_refused(small: Small, tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="is not empty"):
        Workdir(tmp_path).begin(Spec.from_config(small()))
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_vocabulary_larger_than_the_corpus_supports(small: Small, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"data.vocab_size.*5000"):
        Run(Spec.from_config(small(data__vocab_size=5000)), str(tmp_path / "run"), (), clock=lambda: 0.0)
