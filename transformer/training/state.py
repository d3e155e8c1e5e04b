"""What a run carries from step to step; the only place that takes models apart and puts them together."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from transformer.models.interface import Seq2Seq

Params = dict[str, Any]


class TrainState(NamedTuple):
    """All that a checkpoint holds. A tree of arrays."""

    step: jax.Array  # int32 [], updates made
    batch: jax.Array  # int32 [], batches read: the number of the next one
    key: jax.Array  # uint32 [2], data of the key that each step folds its number into
    params: Params  # float32
    optimizer: optax.OptState
    average: Params  # exponential moving average of params; empty without one
    pending: Any  # (gradient sum, LossSums) of batches since the last update; empty without accumulation


class Model(NamedTuple):
    """A model's structure, without its parameters."""

    graph: nnx.GraphDef

    def __call__(self, params: Params) -> Seq2Seq:
        """The model with these parameters; free under `jit`."""
        return nnx.merge(self.graph, nnx.State(_integer_keys(params)))


def split(model: Seq2Seq) -> tuple[Model, Params]:
    """Structure and parameters, as a nested dict with str keys."""
    graph, state = nnx.split(model)
    return Model(graph), _string_keys(nnx.to_pure_dict(state))


def _string_keys(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {str(key): _string_keys(value) for key, value in tree.items()}


def _integer_keys(tree: Any) -> Any:
    # A list's items have integer keys in NNX; a checkpoint wants text.
    if not isinstance(tree, dict):
        return tree
    return {int(key) if key.isdigit() else key: _integer_keys(value) for key, value in tree.items()}


def count(params: Params) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def zeros_like(tree: Any) -> Any:
    """The tree with every array zero."""
    return jax.tree.map(jnp.zeros_like, tree)


@jax.jit
def finite(tree: Any) -> jax.Array:
    """Whether all numbers of the tree are finite; bool []."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
