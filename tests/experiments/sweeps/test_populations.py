"""Runs that are trained together: which they can be, and that each comes out as if it were alone."""

import copy
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
from experiments.runs.program_key import HYPERPARAMETERS, program_key
from experiments.runs.result import measure
from experiments.runs.run import Run
from experiments.sweep import population_size
from experiments.sweeps import cells, populations
from experiments.sweeps.cells import Cell
from experiments.sweeps.scheduler import Runner
from transformer.spec import Spec
from transformer.training import metrics
from transformer.training import step as steps
from transformer.training.parallel import MeshPlacement

Small = Callable[..., dict[str, Any]]
SPEEDS = {"seconds", "tokens_per_second"}


def kind(small: Small, **changes: Any) -> str:
    return program_key(Spec.from_config(small(**changes)))


def test_every_number_of_the_step_may_differ_and_nothing_else(small: Small) -> None:
    """All settings one by one, as something else than they are."""
    config = small(train__learning_rate=0.1, train__clip_norm=1.0, train__ema_decay=0.5, train__optimizer="muon")
    base = Spec.from_config(config | {"train": config["train"] | {"weight_decay": 0.1}})
    free = set()
    for section in dataclasses.fields(base):
        for setting in dataclasses.fields(getattr(base, section.name)):
            part, other = copy.copy(getattr(base, section.name)), copy.copy(base)
            value = getattr(part, setting.name)
            # Past the checks of what makes sense.
            changed = 2 * value if isinstance(value, float) else [value]
            object.__setattr__(part, setting.name, changed)
            object.__setattr__(other, section.name, part)
            free |= {f"{section.name}.{setting.name}"} if program_key(other) == program_key(base) else set()
    assert free == set(HYPERPARAMETERS)
    used = {f"train.{name}" for name in steps.numbers(base.train, base.model)} - {"train.dropout", "train.steps"}
    used = used - {"train.adam_factor"} | {"train.adam_learning_rate"}  # it is the second rate over the first
    assert used | {"train.seed"} == {name for name in HYPERPARAMETERS if name.startswith("train.")}


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"train__ema_decay": 0.5}, {"train__ema_decay": 0.9}),
        ({"train__clip_norm": 1.0}, {"train__clip_norm": 2.0}),
        (
            {"train__optimizer": "adamw", "train__weight_decay": 0.1},
            {"train__optimizer": "adamw", "train__weight_decay": 0.2},
        ),
    ],
)
def test_whether_there_is_something_is_part_of_the_program_and_how_much_is_not(
    small: Small, changes: dict[str, Any], others: dict[str, Any]
) -> None:
    without = {"train__optimizer": "adamw"} if "train__optimizer" in changes else {}
    assert kind(small, **changes) == kind(small, **others) != kind(small, **without)


def test_groups_are_of_one_kind_one_distance_and_no_larger_than_asked(small: Small, tmp_path: pathlib.Path) -> None:
    sweep = {"base": {}, "rate": {"train.learning_rate": 0.1}, "one head": {"model.heads": 1}}
    found = cells.expand(small(), sweep, range(2), tmp_path)
    (found[1].path / "checkpoints" / "3").mkdir(parents=True)
    (found[3].path / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir(parents=True)

    def names(size: int) -> list[list[str]]:
        return [[cell.name for cell in group] for group in populations.groups(found, size)]

    assert names(8) == [["base-0", "base-1", "rate-1"], ["rate-0"], ["one_head-0", "one_head-1"]]
    assert names(2) == [["base-0", "base-1"], ["rate-0"], ["rate-1"], ["one_head-0", "one_head-1"]]
    assert names(1) == [[cell.name] for cell in found]
    for number in (3, 6):  # killed between the saves of two that are trained together
        (found[4].path / "checkpoints" / str(number)).mkdir(parents=True)
    assert names(8) == [["base-0", "base-1"], ["rate-0", "rate-1"], ["one_head-0", "one_head-1"]]
    piled = cells.expand(small(train__accumulate=2), sweep, range(2), tmp_path / "other")
    assert [len(group) for group in populations.groups(piled, 8)] == [1] * 6
    pmapped = [
        Cell(
            cell.variant,
            cell.seed,
            dataclasses.replace(cell.spec, parallel=dataclasses.replace(cell.spec.parallel, mode="pmap")),
            cell.path,
        )
        for cell in found
    ]
    assert [len(group) for group in populations.groups(pmapped, 8)] == [1] * 6


def test_population_s_size() -> None:
    assert [population_size(text) for text in ("auto", "off", "1", "16")] == [0, 1, 1, 16]
    for text in ("0", "-1", "many", ""):
        with pytest.raises(ValueError, match="neither auto nor off nor a number"):
            population_size(text)


def last_state(run: Run) -> Any:
    step = run.saved()
    assert step is not None
    return run.restored(step)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [None, 31])
def test_members_come_out_as_if_alone_and_can_be_continued_alone(
    small: Small, tmp_path: pathlib.Path, packed: int | None
) -> None:
    """Both are cut off after update 6 and go on apart."""
    # Adam's change hardly depends on a gradient's size: where that is next to nothing, rounding would decide.
    settings = {"train__steps": 9, "train__ema_decay": 0.9, "train__learning_rate": 0.01, "train__adam_epsilon": 1e-3}
    settings |= {"data__packed_width": packed}
    other = {"train__seed": 5, "train__learning_rate": 0.02, "model__dropout_sublayer": 0.0}
    configs = [small(evaluate__sentences=0, **settings), small(evaluate__sentences=0, **settings | other)]
    specs = [Spec.from_config(config) for config in configs]
    alone = [Run(spec, str(tmp_path / f"alone{number}"), (), clock=lambda: 0.0) for number, spec in enumerate(specs)]
    for run in alone:
        trainer.train([run])

    first = Run(specs[0], str(tmp_path / "together0"), (), lambda: 0.0, "a")
    both = [first, first.beside(specs[1], str(tmp_path / "together1"), "b")]
    save = Run._save

    def stop(run: Run, step: int, state: Any) -> None:
        save(run, step, state)
        if step == 6 and run is both[1]:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_save", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(both)
    for run in both:
        run.checkpoints.wait()
    for number, spec in enumerate(specs):
        trainer.train([Run(spec, str(tmp_path / f"together{number}"), (), clock=lambda: 0.0)])

    for number, run in enumerate(alone):
        found = last_state(Run(specs[number], str(tmp_path / f"together{number}"), (), clock=lambda: 0.0))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(last_state(run)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        ours, theirs = metrics.read(tmp_path / f"together{number}"), metrics.read(run.workdir.path)
        assert [(event["step"], event["split"]) for event in ours] == [(each["step"], each["split"]) for each in theirs]
        for event, expected in zip(ours, theirs, strict=True):
            together_then = event["step"] <= 6 and event["split"] == "train"
            assert event.get("members", 1) == (2 if together_then else 1)
            for name in expected.keys() - SPEEDS - {"split"}:
                assert event[name] == pytest.approx(expected[name], rel=1e-3)


@pytest.mark.slow
def test_two_runs_in_one_program_leave_what_one_leaves(small: Small, tmp_path: pathlib.Path) -> None:
    config = small(train__steps=2, evaluate__every=2, evaluate__sentences=0, train__average_checkpoints=1)
    first = Run(Spec.from_config(config), str(tmp_path / "0"), (), lambda: 0.0, "a")
    config["train"]["seed"] = 1
    both = [first, first.beside(Spec.from_config(config), str(tmp_path / "1"), "b")]
    trainer.train(both)
    for run in both:
        assert run.saved() == 2
        assert [event.get("members") for event in metrics.read(run.workdir.path) if event["split"] == "train"] == [2]
    perplexities = [metrics.read(run.workdir.path)[-1]["perplexity"] for run in both]
    assert perplexities[0] != perplexities[1]
    both[1].finish(0.0)
    result = measure(both[1])
    assert json.loads(both[1].workdir.result.read_text()) == json.loads(json.dumps(result))
    assert (result["updates"], result["members"], set(result["splits"])) == (2, 2, {"test"})
    assert result["parameters"] > 1000
    assert result["training_flops"] > 6 * result["target_tokens"] * 12 * 12
    assert result["splits"]["test"]["perplexity"] > 1


@pytest.mark.slow
def test_runs_that_differ_in_more_or_are_not_equally_far_are_refused(
    small: Small, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    spec = Spec.from_config(small())
    finished = Run(spec, str(trained), (), clock=lambda: 0.0)
    with pytest.raises(ValueError, match="equally far"):
        trainer.train([finished, finished.beside(dataclasses.replace(spec), str(tmp_path / "a"), "a")])
    other = Spec.from_config(small(model__heads=1))
    with pytest.raises(ValueError, match="more than numbers"):
        trainer.train([finished, finished.beside(other, str(tmp_path / "b"), "b")])


def test_nothing_is_compiled_on_threads_before_the_reader_is_imported(
    small: Small, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Grain is being imported, other threads' imports give them something else than they asked for."""
    monkeypatch.delitem(sys.modules, "grain", raising=False)
    imported = []

    def compile_shapes(*_: Any) -> Any:
        imported.append("grain" in sys.modules)
        raise KeyboardInterrupt

    monkeypatch.setattr(MeshPlacement, "compile_shapes", compile_shapes)
    with pytest.raises(KeyboardInterrupt):
        trainer.train([Run(Spec.from_config(small()), str(tmp_path / "run"), (), lambda: 0.0)])
    assert imported == [True]


@pytest.mark.slow
def test_a_sweep_trains_seeds_together_and_measures_each(small: Small, tmp_path: pathlib.Path) -> None:
    base = small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)
    chosen = cells.expand(base, {"base": {}, "smooth": {"train.label_smoothing": 0.3}}, range(2), tmp_path)
    assert Runner(tmp_path, chosen, [], 60.0, population=4).work() == []
    results = [json.loads(cell.result.read_text()) for cell in chosen]
    assert len({json.dumps(result["splits"]) for result in results}) == 4  # perplexities differ
    assert {result["members"] for result in results} == {4}
    for cell in chosen:
        assert {event.get("members") for event in metrics.read(cell.path) if event["split"] == "train"} == {4}
    assert "trained together with base-0" in chosen[1].log.read_text()


@pytest.mark.slow
def test_members_that_fail_together_are_tried_alone(small: Small, tmp_path: pathlib.Path) -> None:
    """A folder that holds another run is one member's fault."""
    base = small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)
    chosen = cells.expand(base, {"base": {}}, range(2), tmp_path)
    chosen[0].path.mkdir(parents=True)
    (chosen[0].path / "something.txt").write_text("of somebody")
    runner = Runner(tmp_path, chosen, [], 60.0, population=2)
    assert runner.work() == ["base-0"]
    assert "something" not in runner.status(chosen[1])
    assert runner.status(chosen[1]).startswith("done")
