"""Training with a loop over layers, in a run that also trains without one, and in a population."""

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
SCANNED = {"model__scan_layers": True, "model__remat": "full"}
Losses = list[tuple[int, str, float]]  # update, split, loss


@pytest.fixture
def losses(
    small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Losses]:
    """Returns a function that trains the run of a name, or continues it, for seeds 0 to `count` - 1."""
    monkeypatch.setattr(trainer, "_check_evaluation_memory", lambda *_: None)  # half of the time

    def train(name: str, steps: int, count: int = 1, **changes: Any) -> Losses:
        spec, *others = (
            Spec.from_config(small(**SETTINGS | changes, train__steps=steps, train__seed=seed)) for seed in range(count)
        )
        run = Run.open(spec, str(tmp_path / name), ("train.steps",), clock=lambda: 0.0)
        trainer.train([run, *(run.sibling(other, str(tmp_path / "other"), "other") for other in others)])
        return [(event["step"], event["split"], event["loss"]) for event in metrics.read(tmp_path / name)]

    return train


def test_losses_are_those_of_a_plain_run(losses: Callable[..., Losses]) -> None:
    """A run that continues with a loop over layers, and then without one again; the loop in a population."""
    plain = losses("plain", 9)
    losses("parts", 3)
    losses("parts", 6, **SCANNED)
    for other in (losses("parts", 9, model__remat="dots"), losses("population", 6, count=2, **SCANNED)):
        expected = plain[: len(other)]
        assert [event[:2] for event in other] == [event[:2] for event in expected]
        assert [event[2] for event in other] == pytest.approx([event[2] for event in expected], rel=1e-5)
