"""Which settings may differ between the members of a population."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs.program_key import HYPERPARAMETERS, program_key
from transformer.spec import Spec
from transformer.training import step as steps

Small = Callable[..., dict[str, Any]]


def kind(small: Small, **changes: Any) -> str:
    return program_key(Spec.from_config(small(**changes)))


def test_exactly_the_hyperparameters_may_differ(small: Small) -> None:
    """Changes every setting, one at a time."""
    config = small(train__learning_rate=0.1, train__clip_norm=1.0, train__ema_decay=0.5, train__optimizer="muon")
    config["train"] |= {"consistency": 0.5, "consistency_kind": "simcut"}
    base = Spec.from_config(config | {"train": config["train"] | {"weight_decay": 0.1}})
    free = set()
    for section in dataclasses.fields(base):
        for setting in dataclasses.fields(getattr(base, section.name)):
            part, other = copy.copy(getattr(base, section.name)), copy.copy(base)
            value = getattr(part, setting.name)
            # object.__setattr__ skips the validation of the spec.
            changed = 2 * value if isinstance(value, float) else [value]
            object.__setattr__(part, setting.name, changed)
            object.__setattr__(other, section.name, part)
            free |= {f"{section.name}.{setting.name}"} if program_key(other) == program_key(base) else set()
    assert free == set(HYPERPARAMETERS)
    used = {f"train.{name}" for name in steps.hyperparams(base.train, base.model)} - {"train.dropout", "train.steps"}
    used = used - {"train.adam_factor"} | {"train.adam_learning_rate"}  # it is the second rate over the first
    assert used | {"train.seed"} == {name for name in HYPERPARAMETERS if name.startswith("train.")}


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"train__ema_decay": 0.5}, {"train__ema_decay": 0.9}),
        ({"train__clip_norm": 1.0}, {"train__clip_norm": 2.0}),
        (
            {"train__consistency": 0.5, "train__consistency_kind": "simcut"},
            {"train__consistency": 2.0, "train__consistency_kind": "simcut", "train__cutoff_rate": 0.1},
        ),
        (
            {"train__optimizer": "adamw", "train__weight_decay": 0.1},
            {"train__optimizer": "adamw", "train__weight_decay": 0.2},
        ),
    ],
)
def test_switches_belong_to_the_program_and_values_do_not(
    small: Small, changes: dict[str, Any], others: dict[str, Any]
) -> None:
    without = {"train__optimizer": "adamw"} if "train__optimizer" in changes else {}
    assert kind(small, **changes) == kind(small, **others) != kind(small, **without)
