"""Any model's parameters in one safetensors file, under the names they have in a checkpoint."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def named(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A nested dict of parameters by name, the parts of each joined by dots; float32 on the host.

    A name is the path through the model's modules (`transformer/models`), a list's items by number, and ends in what
    the array is: `kernel`, [inputs, outputs] of a linear layer, its `bias`, or a name with its axes, `table_VD`.
    `encoder.0.self_attention.to_query.kernel` is W^Q of all heads of the first layer, side by side.
    """
    flat: dict[str, np.ndarray] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": array for name, array in named(value).items()}
        else:
            flat[key] = np.asarray(value, np.float32)
    return flat


def write(path: pathlib.Path, params: Mapping[str, np.ndarray]) -> None:
    """Writes named parameters to a file."""
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in params.items()}))
