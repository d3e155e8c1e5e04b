"""Frozen parameters: `train.freeze` and LoRA leave only some of a model's parameters to training."""

import fnmatch
from typing import Any

from flax import traverse_util

from transformer.layers import lora
from transformer.spec import TrainSpec
from transformer.training.state import Params

_EXCEPTION = "!"  # a pattern that begins with it names parameters to train


def partition(params: Params, train: TrainSpec) -> tuple[Params, Params]:
    """Splits parameters into those that training changes and those that it keeps; both are nested dicts.

    The last pattern of `train.freeze` that matches a parameter's name decides. Without one, a parameter is trained,
    unless the model has LoRA layers: then only their factors are.
    """
    flat: Any = traverse_util.flatten_dict(params)
    names = {path: ".".join(path) for path in flat}
    adapted = any(map(lora.is_factor, names.values()))
    parts: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
    for path, name in names.items():
        frozen = adapted and not lora.is_factor(name)
        for pattern in train.freeze_patterns:
            if fnmatch.fnmatchcase(lora.base_name(name), pattern.removeprefix(_EXCEPTION)):
                frozen = not pattern.startswith(_EXCEPTION)
        parts[frozen][path] = flat[path]
    trained, frozen_params = map(traverse_util.unflatten_dict, parts)
    return trained, frozen_params


def join(trained: Params, frozen: Params) -> Params:
    """Returns the parameters that `partition` has split."""
    return traverse_util.unflatten_dict(traverse_util.flatten_dict(trained) | traverse_util.flatten_dict(frozen))


def check(params: Params, train: TrainSpec) -> None:
    """Raises ValueError if a pattern of `train.freeze` matches no parameter, or if no parameter is left to train."""
    names = [lora.base_name(".".join(path)) for path in traverse_util.flatten_dict(params)]
    patterns = [pattern.removeprefix(_EXCEPTION) for pattern in train.freeze_patterns]
    lora.require_matches("train.freeze", patterns, names)
    if train.steps and not partition(params, train)[0]:
        raise ValueError(f"train.freeze: {train.freeze} leaves no parameter to train; remove a pattern")
