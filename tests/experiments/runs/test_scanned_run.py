"""Training with a loop over layers, in runs and populations that also train without one."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs import trainer
from experiments.runs.run import Run
from transformer.spec import Spec
from transformer.training import metrics

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "model__encoder_layers": 2, "model__decoder_layers": 2, "model__dropout_sublayer": 0.1, "train__ema_decay": 0.9,
    "train__schedule": "constant", "train__learning_rate": 1e-3, "train__log_every": 1, "evaluate__sentences": 0,
}  # fmt: skip
Losses = list[tuple[int, str, float]]  # update, split, loss


@pytest.fixture
def losses(
    small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Losses]:
    """Returns a function that trains the run of a name, or continues it."""
    monkeypatch.setattr(trainer, "_check_evaluation_memory", lambda *_: None)  # half of the time

    def train(name: str, steps: int, **changes: Any) -> Losses:
        spec = Spec.from_config(small(**SETTINGS | changes, train__steps=steps))
        trainer.train([Run.open(spec, str(tmp_path / name), ("train.steps",), clock=lambda: 0.0)])
        return [(event["step"], event["split"], event["loss"]) for event in metrics.read(tmp_path / name)]

    return train


def test_losses_are_those_of_a_plain_run(losses: Callable[..., Losses]) -> None:
    """A run that continues with a loop over layers, and then without one again."""
    plain = losses("plain", 9)
    losses("parts", 3)
    losses("parts", 6, model__scan_layers=True, model__remat="full")
    parts = losses("parts", 9, model__remat="dots")
    assert [event[:2] for event in parts] == [event[:2] for event in plain]
    assert [event[2] for event in parts] == pytest.approx([event[2] for event in plain], rel=1e-5)


def test_members_of_a_population_learn_like_plain_runs(
    small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, losses: Callable[..., Losses]
) -> None:
    """Two members train with a loop over layers and are saved; one continues without a loop, and without the other."""
    other = {"train__seed": 5, "train__learning_rate": 2e-3}
    plain = [losses("plain0", 6), losses("plain1", 3, **other)]
    specs = [
        Spec.from_config(small(**SETTINGS | changes, train__steps=3, model__scan_layers=True, model__remat="full"))
        for changes in ({}, other)
    ]
    first = Run.open(specs[0], str(tmp_path / "member0"), (), lambda: 0.0, "a")
    trainer.train([first, first.sibling(specs[1], str(tmp_path / "member1"), "b")])
    members = [losses("member0", 6), losses("member1", 3, **other)]
    for member, single in zip(members, plain, strict=True):
        assert [event[:2] for event in member] == [event[:2] for event in single]
        assert [event[2] for event in member] == pytest.approx([event[2] for event in single], rel=1e-5)
