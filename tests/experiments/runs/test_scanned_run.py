"""Training with a loop over layers, in a run that also trains without one."""

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
