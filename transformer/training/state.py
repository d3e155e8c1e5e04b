"""The training state, and the only functions that split models into structure and parameters and merge them again."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from transformer.models.interface import Seq2Seq

Params = dict[str, Any]
Hyperparams = dict[str, Any]  # arguments of the compiled step, by name; see `training.step.hyperparams`


class TrainState(NamedTuple):
    """The contents of a checkpoint: a pytree of arrays."""

    step: jax.Array  # int32 [], number of updates
    batch: jax.Array  # int32 [], number of batches read, which is the index of the next one
    key: jax.Array  # uint32 [2], data of the random key that each step folds the batch index into
    params: Params  # float32
    optimizer: optax.OptState
    average: Params  # exponential moving average of params; empty if there is none
    # Sums over the batches since the last update: (gradients of the trained parameters, LossSums), and the number of
    # sentences with train.clip_unit=sentence; empty without accumulation.
    pending: Any


class ModelDef(NamedTuple):
    """A model's structure, without its parameters."""

    graph: nnx.GraphDef

    def __call__(self, params: Params) -> Seq2Seq:
        """Returns the model with these parameters; costs nothing under `jit`."""
        return nnx.merge(self.graph, nnx.State(_integer_keys(params)))


def split(model: Seq2Seq) -> tuple[ModelDef, Params]:
    """Splits a model into its structure and its parameters, a nested dict with str keys."""
    graph, state = nnx.split(model, graph=True)  # tied embeddings are one module at three paths
    return ModelDef(graph), _string_keys(nnx.to_pure_dict(state))


def _string_keys(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {str(key): _string_keys(value) for key, value in tree.items()}


def _integer_keys(tree: Any) -> Any:
    # NNX has integer keys for the items of a list; a checkpoint needs strings.
    if not isinstance(tree, dict):
        return tree
    return {int(key) if key.isdigit() else key: _integer_keys(value) for key, value in tree.items()}


STACKED = "stacked"  # name of the module whose parameters have a leading axis of layers: `models.layer_stack.LayerScan`


def stack_layers(tree: Any, stack: Callable[[Sequence[Any]], Any] = jnp.stack) -> Any:
    """Converts layers with parameters of their own, "0", "1", ..., to the form of `model.scan_layers`.

    Args:
      tree: parameters of a Transformer, or a state that contains them.
      stack: stacks the arrays of all layers.
    """

    def convert(node: Any) -> Any:
        if not _is_layer_list(node):
            return node
        layers = (node[str(number)] for number in range(len(node)))
        return {STACKED: jax.tree.map(lambda *leaves: stack(leaves), *layers)}

    return jax.tree.map(convert, tree, is_leaf=_is_layer_list)


def unstack_layers(tree: Any) -> Any:
    """Converts the parameters of `model.scan_layers` to layers with parameters of their own: inverts `stack_layers`."""

    def convert(node: Any) -> Any:
        if not _is_stacked(node):
            return node
        count = jax.tree.leaves(node)[0].shape[0]
        return {str(n): jax.tree.map(lambda leaf, n=n: leaf[n], node[STACKED]) for n in range(count)}

    return jax.tree.map(convert, tree, is_leaf=_is_stacked)


def _is_layer_list(node: Any) -> bool:
    return isinstance(node, dict) and bool(node) and all(key.isdigit() for key in node)


def _is_stacked(node: Any) -> bool:
    return isinstance(node, dict) and node.keys() == {STACKED}


def parameter_count(params: Params) -> int:
    """Returns the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def zeros_like(tree: Any) -> Any:
    """Returns a tree of zeros with the same shapes and dtypes."""
    return jax.tree.map(jnp.zeros_like, tree)


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Returns whether all numbers of the tree are finite; bool []."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
