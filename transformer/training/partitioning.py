"""Partition specs: which axis of which parameter is sharded over which axis of the mesh.

The axes of a parameter have logical names, which depend on the parameter's name. A table maps logical names to axes of
the mesh. The optimizer's state and averages contain the parameters' names in their paths, and so are sharded equally.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

from transformer.layers import lora
from transformer.training.state import STACKED

DATA, FSDP, TENSOR = AXES = ("data", "fsdp", "tensor")

# Logical axes of a parameter, by the end of its name. Other parameters are replicated: biases and scales along the
# model's width, which are small. A recurrent layer's gates are not sharded, because each step needs all of them.
LOGICAL_AXES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
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
    # The sides of LoRA's factors that tensor parallelism shards; the other side is the small rank or the model's width.
    (r"to_(query|key|value)\.lora_b$", (None, "heads")),
    (r"to_output\.lora_a$", ("heads", None)),
    (r"(inner|gate)\.lora_b$", (None, "inner")),
    (r"outer\.lora_a$", ("inner", None)),
)

# Mesh axis of each logical axis. `tensor` shards what a layer computes in parallel: heads, inner units, words. `fsdp`
# shards stored parameters, which are gathered before use.
AXIS_RULES: Mapping[str, str] = {"vocabulary": TENSOR, "heads": TENSOR, "inner": TENSOR, "model": FSDP}


def is_stacked(name: str) -> bool:
    """Returns whether a parameter has a leading axis of layers, which is not sharded; see `state.stack_layers`."""
    return STACKED in name.split(".")


def partition_spec(name: str, shape: tuple[int, ...], sizes: Mapping[str, int]) -> PartitionSpec:
    """Returns the partition spec of an array.

    Args:
      name: name of the parameter, with its parts joined by dots; any prefix is allowed.
      shape: shape of the array. An array whose rank differs from the parameter's is replicated.
      sizes: number of devices along each axis of the mesh. An axis that they do not divide is not sharded.
    """
    name = lora.base_name(name)
    logical_axes = next((axes for pattern, axes in LOGICAL_AXES if re.search(pattern, name)), ())
    if is_stacked(name):
        logical_axes = (None, *logical_axes)
    if len(logical_axes) != len(shape):
        return PartitionSpec()
    axes = zip((AXIS_RULES.get(axis or "") for axis in logical_axes), shape, strict=True)
    entries = [axis if axis and sizes[axis] > 1 and size % sizes[axis] == 0 else None for axis, size in axes]
    return PartitionSpec(*entries) if any(entries) else PartitionSpec()


def partition_specs(tree: Any, sizes: Mapping[str, int], gathered: bool = False) -> Any:
    """Returns `partition_spec` of every array or shape in a tree whose paths contain parameter names.

    Args:
      tree: the tree.
      sizes: as for `partition_spec`.
      gathered: leaves `fsdp` out, except for stacked parameters: a loop gathers those of one layer at a time.
    """

    def leaf_spec(path: Any, leaf: Any) -> PartitionSpec:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        stored = dict(sizes) | {FSDP: 1} if gathered and not is_stacked(name) else sizes
        return partition_spec(name, leaf.shape, stored)

    return jax.tree.map_with_path(leaf_spec, tree)
