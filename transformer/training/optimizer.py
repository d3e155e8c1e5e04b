"""Optimizers; Section 5.3. Hyperparameters may be traced, so that one compiled step serves many settings."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from transformer.ops import matmul
from transformer.section import require_one_of
from transformer.spec import TrainSpec
from transformer.training.state import Hyperparams

StackMap = Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array]  # (function, stack) → function(stack)
OptimizerFactory = Callable[
    [Hyperparams, StackMap, Any], optax.GradientTransformation
]  # the last argument is the dtype of its matmuls
# Names of weight matrices; an embedding is a lookup table.
_MATRICES = ("kernel", "recurrent_RG", "lora_a", "lora_b")
_NEWTON_SCHULZ = (
    3.4445,
    -4.7750,
    2.0315,
)  # coefficients of Jordan et al. 2024: the steepest at 0 that converge to about 1
_ITERATIONS = 5


def map_unsharded(function: Callable[[jax.Array], jax.Array], stack: jax.Array) -> jax.Array:
    """Applies `function` to a stack on one device."""
    return function(stack)


def adam(hyperparams: Hyperparams, map_stack: StackMap, dtype: Any) -> optax.GradientTransformation:
    """Builds Adam (Kingma & Ba 2015), without the learning rate."""
    del map_stack, dtype
    return optax.scale_by_adam(
        b1=hyperparams["adam_beta1"], b2=hyperparams["adam_beta2"], eps=hyperparams["adam_epsilon"]
    )


def muon(hyperparams: Hyperparams, map_stack: StackMap, dtype: Any) -> optax.GradientTransformation:
    """Builds Muon (Jordan et al. 2024) for matrices and Adam for all other parameters, without the learning rate.

    Adam updates embeddings, biases and norms. Updates of matrices have the root mean square 0.2 (Liu et al. 2025, "Muon
    is Scalable for LLM Training"), similar to Adam's. One learning rate serves both, unless `train.adam_learning_rate`
    sets another one for Adam.
    """

    def orthogonal_updates(stack: jax.Array) -> jax.Array:
        return orthogonalize(stack, dtype) * (0.2 * math.sqrt(max(stack.shape[1:])))

    matrices = optax.chain(
        optax.trace(decay=0.95, nesterov=True),
        optax.stateless(lambda updates, _: _map_by_shape(functools.partial(map_stack, orthogonal_updates), updates)),
    )
    adam_transform = adam(hyperparams, map_stack, dtype)

    def scaled_update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        changes, state = adam_transform.update(updates, state, params)
        return jax.tree.map(lambda change: change * hyperparams["adam_factor"], changes), state

    # Not `optax.chain`: it would change the structure of the state, which existing checkpoints have.
    scaled_adam = optax.GradientTransformation(adam_transform.init, scaled_update)
    return optax.partition({"matrix": matrices, "other": scaled_adam}, _parameter_labels)


def orthogonalize(stack: jax.Array, dtype: Any = jnp.float32) -> jax.Array:
    """Approximates U Vᵀ of each matrix U S Vᵀ by Muon's Newton-Schulz iteration; singular values are in 0.7 to 1.2.

    It is Optax's iteration with another dtype of the matmuls. Only the matmuls of `ops.matmul` are fast on a CPU.

    Args:
      stack: float32 [matrices, rows, columns].
      dtype: dtype of the matmuls' operands; sums and everything else are float32.
    """
    linear, cubic, quintic = _NEWTON_SCHULZ
    tall = stack.shape[1] > stack.shape[2]
    x = stack.swapaxes(1, 2) if tall else stack  # makes x xᵀ the smaller of the two products
    x = x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-8)
    for _ in range(_ITERATIONS):
        rounded = x.astype(dtype)
        square = matmul.nt(rounded, rounded, jnp.float32)
        half = square.astype(dtype)
        polynomial = cubic * square + quintic * matmul.nn(half, half, jnp.float32)
        x = linear * x + matmul.nn(polynomial.astype(dtype), rounded, jnp.float32)
    return x.swapaxes(1, 2) if tall else x


def _parameter_labels(params: Any) -> Any:
    return jax.tree.map_with_path(lambda path, _: "matrix" if path and path[-1].key in _MATRICES else "other", params)


def _map_by_shape(function: Callable[[jax.Array], jax.Array], tree: Any) -> Any:
    """Maps `function` over all matrices in a tree, stacked by shape: few large matmuls.

    A leaf is a matrix, or the stacked matrices of all layers; see `state.stack_layers`.
    """
    leaves, structure = jax.tree.flatten(tree)
    for shape in dict.fromkeys(leaf.shape[-2:] for leaf in leaves):
        indices = [index for index, leaf in enumerate(leaves) if leaf.shape[-2:] == shape]
        matrices = [leaves[index].reshape(-1, *shape) for index in indices]
        ends = list(itertools.accumulate(map(len, matrices)))
        mapped = jnp.split(function(jnp.concatenate(matrices)), ends[:-1])
        for index, rows in zip(indices, mapped, strict=True):
            leaves[index] = rows.reshape(leaves[index].shape)
    return jax.tree.unflatten(structure, leaves)


def lion(hyperparams: Hyperparams, map_stack: StackMap, dtype: Any) -> optax.GradientTransformation:
    """Builds Lion (Chen et al. 2023), without the learning rate, which must be several times smaller than Adam's."""
    del map_stack, dtype
    return optax.scale_by_lion(b1=cast(float, hyperparams["adam_beta1"]), b2=cast(float, hyperparams["adam_beta2"]))


def adafactor(hyperparams: Hyperparams, map_stack: StackMap, dtype: Any) -> optax.GradientTransformation:
    """Builds Adafactor (Shazeer & Stern 2018), without the learning rate, which is their "relative" one.

    Updates are proportional to the size of the parameters: a learning rate of 1e-2 changes each matrix by 1 %.
    """
    del hyperparams, map_stack, dtype
    return optax.chain(
        optax.scale_by_factored_rms(min_dim_size_to_factor=32),
        optax.clip_by_block_rms(1.0),
        optax.scale_by_param_block_rms(1e-3),
    )


def with_weight_decay(optimizer: OptimizerFactory) -> OptimizerFactory:
    """Adds decoupled weight decay of matrices (Loshchilov & Hutter 2019): learning rate × decay × parameter."""

    def make(hyperparams: Hyperparams, map_stack: StackMap, dtype: Any) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(
            hyperparams["weight_decay"],
            mask=lambda params: jax.tree.map(lambda kind: kind == "matrix", _parameter_labels(params)),
        )
        return optax.chain(optimizer(hyperparams, map_stack, dtype), decay)

    return make


OPTIMIZERS: dict[str, OptimizerFactory] = {
    "adam": adam,
    "adamw": with_weight_decay(adam),
    "adafactor": adafactor,
    "lion": with_weight_decay(lion),
    "muon": with_weight_decay(muon),
}
_WITHOUT_DECAY = ("adam", "adafactor")


def make(
    spec: TrainSpec, hyperparams: Hyperparams, map_stack: StackMap = map_unsharded
) -> optax.GradientTransformation:
    """Builds the transformation from a mean gradient to an update of the parameters, without the factor -learning rate.

    Args:
      spec: names the optimizer.
      hyperparams: its hyperparameters.
      map_stack: computes `function(stack)`, on one device or on several that process some rows each.

    Raises:
      ValueError: `train.optimizer` is unknown, or does not support the weight decay or the second learning rate.
    """
    require_one_of("train.optimizer", spec.optimizer, tuple(OPTIMIZERS))
    if spec.weight_decay and spec.optimizer in _WITHOUT_DECAY:
        raise ValueError(
            f"train.weight_decay: {spec.weight_decay} has no effect with train.optimizer={spec.optimizer}; "
            f"optimizers with weight decay: {', '.join(name for name in OPTIMIZERS if name not in _WITHOUT_DECAY)}"
        )
    if spec.adam_learning_rate and spec.optimizer != "muon":
        raise ValueError(
            f"train.adam_learning_rate: {spec.adam_learning_rate} has no effect with train.optimizer="
            f"{spec.optimizer}; only muon uses it"
        )
    optimizer = OPTIMIZERS[spec.optimizer](hyperparams, map_stack, jnp.dtype(spec.muon_dtype or "float32"))
    if spec.clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(hyperparams["clip_norm"]), optimizer)
