"""Sweeps as data: named variants of a base config, and functions that combine sweeps.

A sweep maps the name of a variant to its changes, {"train.learning_rate": 1e-3}; {} is the base. A file of
configs/sweeps or configs/ablations defines `get_sweep`, which returns a sweep. `FILE:ARGUMENT` passes an argument, one
of the file's `ARGUMENTS`. If the file defines `PUBLISHED`, {variant: {"bleu": 25.8}}, the report lists them next
to the measured ones.
"""

from typing import Any

from ml_collections import ConfigDict

Sweep = dict[str, dict[str, Any]]


def axis(key: str, values: list[Any] | tuple[Any, ...], name: str = "") -> Sweep:
    """Returns one variant per value of a key, named "NAME=VALUE"; the default name is the last part of the key."""
    name = name or key.rpartition(".")[2]
    return {f"{name}={value}": {key: value} for value in values}


def product(*sweeps: Sweep) -> Sweep:
    """Returns all combinations of one variant of each sweep.

    Raises:
      ValueError: two sweeps change the same key.
    """
    result: Sweep = {"": {}}
    for sweep in sweeps:
        result = {
            _joined(name, other): _merged(changes, more)
            for name, changes in result.items()
            for other, more in sweep.items()
        }
    return result


def zip_(*sweeps: Sweep) -> Sweep:
    """Returns the combination of the first variants of all sweeps, then of the second ones, and so on.

    Raises:
      ValueError: the sweeps have different lengths, or two change the same key.
    """
    lengths = [len(sweep) for sweep in sweeps]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"sweeps of {', '.join(map(str, lengths))} variants cannot be zipped; give them the same number"
        )
    result: Sweep = {}
    for variants in zip(*(sweep.items() for sweep in sweeps), strict=True):
        joint_name, changes = "", {}
        for name, more in variants:
            joint_name, changes = _joined(joint_name, name), _merged(changes, more)
        result[joint_name] = changes
    return result


def chain(*sweeps: Sweep) -> Sweep:
    """Returns the variants of all sweeps, one sweep after the other.

    Raises:
      ValueError: two variants have the same name and different changes.
    """
    result: Sweep = {}
    for sweep in sweeps:
        for name, changes in sweep.items():
            if result.setdefault(name, changes) != changes:
                raise ValueError(f"two variants are called {name!r}: {result[name]} and {changes}")
    return result


def without_defaults(sweep: Sweep, base: ConfigDict) -> Sweep:
    """Returns the sweep without values that equal those of `base`, and without variants that then change nothing."""
    result: Sweep = {}
    for name, changes in sweep.items():
        kept = {key: value for key, value in changes.items() if value_of(base, key) != value}
        if kept or not changes:
            result[name] = kept
    return result


def value_of(config: ConfigDict, key: str) -> Any:
    """Returns the value of a key such as "train.steps"."""
    section, _, name = key.partition(".")
    return config[section][name]


def difference(base: ConfigDict, other: ConfigDict) -> dict[str, Any]:
    """Returns the changes that turn `base` into `other`."""
    return {
        f"{section}.{key}": value
        for section, keys in other.items()
        for key, value in keys.items()
        if value != base[section][key]
    }


def _joined(name: str, other: str) -> str:
    return " ".join(part for part in (name, other) if part)


def _merged(changes: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    common = changes.keys() & more.keys()
    if common:
        raise ValueError(f"two sweeps change {', '.join(sorted(common))}")
    return changes | more
