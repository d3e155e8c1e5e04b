"""Writes the parameters of any model to one safetensors file, under the names that they have in a checkpoint."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util


def flatten(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Flattens nested parameters to float32 arrays on the host, named by their path with dots.

    A name is the path through the model's modules (`transformer/models`), with indices for list items. It ends in the
    kind of the array: `kernel`, [inputs, outputs] of a linear layer, its `bias`, or a name with its axes, `table_VD`.
    `encoder.0.self_attention.to_query.kernel` is W^Q of all heads of the first layer, concatenated.
    """
    flat = traverse_util.flatten_dict(dict(params), sep=".")
    return {name: np.asarray(array, np.float32) for name, array in flat.items()}


def write(path: pathlib.Path, params: Mapping[str, np.ndarray]) -> None:
    """Writes flat parameters to a file."""
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in params.items()}))
