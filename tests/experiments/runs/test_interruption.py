"""A run that is interrupted between scheduled checkpoints has the result of an uninterrupted one."""

import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.experiments.runs import faulty
from tests.experiments.runs.test_faults import TIMES, Training, config_of, spoil_batches
from transformer.training import metrics

pytestmark = pytest.mark.slow

Small = Callable[..., dict[str, Any]]

CASES: dict[str, dict[str, Any]] = {
    "averaging": {"train__steps": 14, "checkpoint__every": 4, "evaluate__every": 5},
    "no average": {"train__steps": 14, "checkpoint__every": 4, "train__ema_decay": 0.0},
    "lora": {"train__steps": 14, "checkpoint__every": 4, "model__lora_rank": 2, "train__freeze": "!*.bias"},
    # At this rate the loss soon grows.
    "early stopping": {
        "train__steps": 40, "checkpoint__every": 4, "evaluate__every": 3, "train__early_stopping": "loss",
        "train__patience": 2, "train__learning_rate": 0.5,
    },
    # Updates 8 to 12 are skipped, then training goes back to update 9.
    "rollback": {"train__steps": 20, "checkpoint__every": 3, "evaluate__every": 5},
}  # fmt: skip


def prepare(case: str, *interruptions: int) -> None:
    if case == "rollback":
        spoil_batches(7, 99, 0.0006)
    faulty.signal_after(*interruptions)


@pytest.mark.parametrize("case", CASES)
def test_an_interruption_does_not_change_the_result(
    small: Small, tmp_path: pathlib.Path, fault: Callable[[str], Callable[[], None]], case: str
) -> None:
    survived = fault(f"SIGTERM between scheduled checkpoints: {case}")
    config = config_of(small, **CASES[case])
    full, parts = Training(config, tmp_path / "full"), Training(config, tmp_path / "parts")
    assert full.join(full.start(prepare, case)) == 0, full.log_text()
    for interruption in (6, 10):
        assert parts.join(parts.start(prepare, case, interruption)) == 128 + signal.SIGTERM, parts.log_text()
        assert parts.steps()[-1] == interruption
    assert parts.join(parts.start(prepare, case)) == 0, parts.log_text()
    assert parts.digests() == full.digests()
    # An interruption only adds a report on the updates so far.
    events = [
        [
            {name: value for name, value in event.items() if name not in TIMES}
            for event in metrics.read(training.path)
            if event["split"] != "train"
        ]
        for training in (parts, full)
    ]
    assert events[0] == events[1]
    if case == "early stopping":
        assert full.steps()[-1] < config["train"]["steps"]
    assert ("back to update 9" in full.log_text()) == ("back to update 9" in parts.log_text()) == (case == "rollback")
    survived()


def test_a_signal_during_the_last_evaluation_does_not_lose_it(
    small: Small, tmp_path: pathlib.Path, fault: Callable[[str], Callable[[], None]]
) -> None:
    survived = fault("SIGTERM during the last evaluation")
    config = config_of(small, train__steps=5, checkpoint__every=3, evaluate__every=3, evaluate__sentences=5)
    full, parts = Training(config, tmp_path / "full"), Training(config, tmp_path / "parts")
    assert full.join(full.start()) == 0, full.log_text()
    assert parts.join(parts.start(faulty.signal_in_evaluation, 1)) == 128 + signal.SIGTERM, parts.log_text()
    assert [event["step"] for event in parts.events() if event["split"] == "validation"] == [3]
    assert parts.join(parts.start()) == 0, parts.log_text()
    assert [event["step"] for event in parts.events() if event["split"] == "validation"] == [3, 5]
    assert parts.digests() == full.digests()
    survived()
