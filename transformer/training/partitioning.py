"""Which axis of which parameter is divided among which devices.

A parameter's axes have names, by what it is called; a table says over which axis of the mesh each name is divided. The
optimizer's state and averages have the parameters' names, and so lie where these lie.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

DATA, FSDP, TENSOR = AXES = ("data", "fsdp", "tensor")

# What the axes of a parameter are, by the end of its name. One that is not here is the same on all devices: biases and
# scales along the model's width, which are small. A recurrence's gates stay together: each step needs them all.
NAMES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r"table_VD$", ("vocabulary", "model")),
    (r"bias_V$", ("vocabulary",)),
    (r"to_(query|key|value)\.kernel$", ("model", "heads")),
    (r"to_(query|key|value)\.bias$", ("heads",)),
    (r"to_output\.kernel$", ("heads", "model")),
    (r"(inner|gate)\.kernel$", ("model", "inner")),
    (r"(inner|gate)\.bias$", ("inner",)),
    (r"outer\.kernel$", ("inner", "model")),
    (r"to_gates\.kernel$", ("model", None)),
    (r"recurrent_RG$", ("model", None)),
    (r"to_first\.kernel$", ("model", None)),
)

# Over which axis of the mesh each of these is divided. `tensor` divides what a layer computes in parallel: heads, inner
# units, words. `fsdp` divides what is stored, and is put together again before it is used.
RULES: Mapping[str, str] = {"vocabulary": TENSOR, "heads": TENSOR, "inner": TENSOR, "model": FSDP}


def partition(name: str, shape: tuple[int, ...], sizes: Mapping[str, int]) -> PartitionSpec:
    """How an array lies on a mesh.

    Args:
      name: of the parameter, its parts joined by dots; what stands before them does not matter.
      shape: of the array. Where it has not as many axes as the parameter, it is the same on all devices.
      sizes: devices along each axis of the mesh. What they do not divide is not divided.
    """
    names = next((names for pattern, names in NAMES if re.search(pattern, name)), ())
    if len(names) != len(shape):
        return PartitionSpec()
    axes = zip((RULES.get(each or "") for each in names), shape, strict=True)
    kept = [axis if axis and sizes[axis] > 1 and size % sizes[axis] == 0 else None for axis, size in axes]
    return PartitionSpec(*kept) if any(kept) else PartitionSpec()


def partitions(tree: Any, sizes: Mapping[str, int]) -> Any:
    """`partition` of every array, or shape of one, in a tree that has parameters' names somewhere in its paths."""

    def one(path: Any, leaf: Any) -> PartitionSpec:
        return partition(jax.tree_util.keystr(path, simple=True, separator="."), leaf.shape, sizes)

    return jax.tree.map_with_path(one, tree)
