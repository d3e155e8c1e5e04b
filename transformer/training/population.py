"""Populations: several runs trained as one, which differ only in values that are arguments of the compiled step.

One program makes a step of all members: `jax.vmap` over states, hyperparams and batches. A member trains as it would
in a separate run, up to rounding. Its state can be extracted at any time.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from transformer.spec import Spec
from transformer.training import step as steps
from transformer.training.state import Hyperparams


def hyperparams(specs: Sequence[Spec]) -> Hyperparams:
    """Stacks `training.step.hyperparams` of each spec. If one member has a kind of dropout, all do, at rate 0."""
    members = [steps.hyperparams(spec.train, spec.model) for spec in specs]
    kinds = dict.fromkeys(kind for member in members for kind in member["dropout"])
    rates = [{kind: member["dropout"].get(kind, np.float32(0)) for kind in kinds} for member in members]
    return stack([{**member, "dropout": rate} for member, rate in zip(members, rates, strict=True)])


def stack(trees: Sequence[Any]) -> Any:
    """Stacks the leaves of equal trees along a new first axis, on the host, because no device holds all members."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


@jax.jit
def member(tree: Any, index: jax.Array | int) -> Any:
    """Returns the tree of one member of a stacked tree."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), tree)


def stacked_shapes(tree: Any, count: int) -> Any:
    """Returns the shapes of `count` stacked trees like `tree`."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), tree)
