"""Sweeps as data: named sets of changes to a base config, and three ways to make longer lists of shorter ones.

A sweep is a dict from a variant's name to its changes, {"train.learning_rate": 1e-3}. No changes, {}, is the base
itself. A file of configs/sweeps or configs/ablations has `get_sweep`, which returns one; `FILE:ARGUMENT` passes it an
argument, one of the file's `ARGUMENTS`. If it has `PUBLISHED`, {variant: {"bleu": 25.8}}, those numbers stand in the
report beside ours.
"""

from typing import Any

from ml_collections import ConfigDict

Sweep = dict[str, dict[str, Any]]


def axis(key: str, values: list[Any] | tuple[Any, ...], name: str = "") -> Sweep:
    """A variant for each value of a key, named "NAME=VALUE"; the name is the key's last part if none is given."""
    name = name or key.rpartition(".")[2]
    return {f"{name}={value}": {key: value} for value in values}


def product(*sweeps: Sweep) -> Sweep:
    """Every combination: a variant of each sweep, their changes together.

    Raises:
      ValueError: two of the sweeps change one key.
    """
    result: Sweep = {"": {}}
    for sweep in sweeps:
        result = {
            _joined(name, other): _merged(changes, more)
            for name, changes in result.items()
            for other, more in sweep.items()
        }
    return result


def together(*sweeps: Sweep) -> Sweep:
    """The first variants of all sweeps as one, then the second ones, and so on.

    Raises:
      ValueError: sweeps of different lengths, or two that change one key.
    """
    lengths = [len(sweep) for sweep in sweeps]
    if len(set(lengths)) > 1:
        raise ValueError(f"sweeps of {', '.join(map(str, lengths))} variants cannot go together one by one")
    result: Sweep = {}
    for variants in zip(*(sweep.items() for sweep in sweeps), strict=True):
        whole, changes = "", {}
        for name, more in variants:
            whole, changes = _joined(whole, name), _merged(changes, more)
        result[whole] = changes
    return result


def chain(*sweeps: Sweep) -> Sweep:
    """The variants of one sweep after those of another.

    Raises:
      ValueError: two variants have one name and different changes.
    """
    result: Sweep = {}
    for sweep in sweeps:
        for name, changes in sweep.items():
            if result.setdefault(name, changes) != changes:
                raise ValueError(f"two variants are called {name!r}: {result[name]} and {changes}")
    return result


def difference(base: ConfigDict, other: ConfigDict) -> dict[str, Any]:
    """The changes that make `other` of `base`, key by key."""
    return {
        f"{section}.{key}": value
        for section, keys in other.items()
        for key, value in keys.items()
        if value != base[section][key]
    }


def _joined(name: str, other: str) -> str:
    return " ".join(each for each in (name, other) if each)


def _merged(changes: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    twice = changes.keys() & more.keys()
    if twice:
        raise ValueError(f"two sweeps change {', '.join(sorted(twice))}")
    return changes | more
