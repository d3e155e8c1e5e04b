"""Base class of the sections of a spec, and the checks of their values. This module imports no array library."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, Self, get_args


def did_you_mean(name: object, choices: Iterable[object], prefix: str = "") -> str:
    """Returns the end of a message about an unknown name: the nearest choice, after `prefix`; "" if none is near."""
    near = nearest(name, choices)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def nearest(name: object, choices: Iterable[object], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Returns the choices most similar to a name, most similar first; upper and lower case are equal.

    Args:
      name: an unknown name.
      choices: the known ones.
      count: most choices to return.
      cutoff: least similarity, from 0 to 1.
    """
    by_lower_case = {str(choice).lower(): str(choice) for choice in choices}
    return [by_lower_case[key] for key in difflib.get_close_matches(str(name).lower(), by_lower_case, count, cutoff)]


def comma_separated(text: str) -> tuple[str, ...]:
    """Returns the items of a comma-separated list."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def require(condition: bool, message: str) -> None:
    """Raises a ValueError with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def require_one_of(key: str, value: Any, choices: tuple[str | None, ...]) -> None:
    """Raises a ValueError that lists `choices` unless `value` is one of them."""
    listed = ", ".join(map(str, choices))
    require(value in choices, f"{key}: {value!r} is none of {listed}{did_you_mean(value, choices)}")


def require_positive(section: str, spec: Any, *names: str) -> None:
    """Raises a ValueError unless the settings `names` of `spec` are positive or None."""
    for name in names:
        value = getattr(spec, name)
        require(value is None or value > 0, f"{section}.{name}: {value} is not positive")


def require_rate(section: str, spec: Any, *names: str) -> None:
    """Raises a ValueError unless the settings `names` of `spec` are in [0, 1)."""
    for name in names:
        value = getattr(spec, name)
        require(0 <= value < 1, f"{section}.{name}: {value} is not in [0, 1)")


@dataclasses.dataclass(frozen=True)
class Section:
    """Base class of all sections: reads itself from a mapping whose keys are exactly its fields."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str = "") -> Self:
        """Builds the section from `config`; raises a ValueError that names all unknown or missing keys."""
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        fields, keys_present = set(types), set(config.keys())
        prefix = f"{name}." if name else ""
        for keys, problem in ((keys_present - fields, "unknown"), (fields - keys_present, "missing")):
            guess = did_you_mean(min(keys), fields, prefix) if problem == "unknown" and keys else ""
            require(not keys, f"{problem} key: {', '.join(prefix + key for key in sorted(keys))}{guess}")
        for key in sorted(fields):
            optional = NoneType in get_args(types[key])
            require(optional or config[key] is not None, f"{prefix}{key}: None, but the setting needs a value")
        return cls(**{key: config[key] for key in fields})
