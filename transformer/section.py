"""Base class of the sections of a spec, and the checks of their values. This module imports no array library."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self


def require(condition: bool, message: str) -> None:
    """Raises a ValueError with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def require_one_of(key: str, value: Any, choices: tuple[str | None, ...]) -> None:
    """Raises a ValueError that lists `choices` unless `value` is one of them."""
    require(value in choices, f"{key}: {value!r} is none of {', '.join(map(str, choices))}")


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
        fields = {field.name for field in dataclasses.fields(cls)}
        keys_present = set(config.keys())
        prefix = f"{name}." if name else ""
        for keys, problem in ((keys_present - fields, "unknown"), (fields - keys_present, "missing")):
            require(not keys, f"{problem} key: {', '.join(prefix + key for key in sorted(keys))}")
        return cls(**{key: config[key] for key in fields})
