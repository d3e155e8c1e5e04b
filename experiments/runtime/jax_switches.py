"""Switches of JAX for a whole process that change results or stop a run: each gets its default, with a warning."""

import os
import sys
from typing import Any

# Name → default. Names in capitals are environment variables.
_DEFAULTS: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_numpy_dtype_promotion": "standard",
    "jax_disable_jit": False,
    "jax_no_tracing": False,
    "jax_transfer_guard": None,
    "jax_transfer_guard_host_to_device": None,
    "jax_transfer_guard_device_to_device": None,
    "jax_transfer_guard_device_to_host": None,
}
_TRUE, _FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0", "")


def reset() -> None:
    """Gives the switches their defaults; prints a warning for each that has another value."""
    if "jax" in sys.modules:
        import jax

        for name, default in _DEFAULTS.items():
            value = getattr(jax.config, name, default)  # a later version of JAX may lack a switch
            if _text(value) != _text(default):
                _warn(name, value, default)
                jax.config.update(name, default)
        return
    for name, default in _DEFAULTS.items():
        variable = name.upper()
        if variable in os.environ:
            value = os.environ.pop(variable)
            if _text(value) not in (_text(default), "") and not (default is None and value == "allow"):
                _warn(variable, value, default)


def _text(value: Any) -> str:
    """Returns a value as text that is equal for equal values of a switch."""
    text = str(getattr(value, "value", value)).lower()  # some values are members of an enum
    return "true" if text in _TRUE else "false" if text in _FALSE else text


def _warn(name: str, value: Any, default: Any) -> None:
    value = getattr(value, "value", value)
    needed = "allow" if default is None else default  # transfers are allowed by default
    print(f"warning: {name}={value} is ignored; training and search need {needed}", file=sys.stderr)
