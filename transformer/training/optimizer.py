"""Optimizers; Section 5.3. Their numbers may be traced, so that one compiled step serves many settings."""

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from transformer.ops import matmul
from transformer.spec import TrainSpec

Numbers = dict[str, jax.Array | float]
Divide = Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array]
Optimizer = Callable[[Numbers, Divide, Any], optax.GradientTransformation]  # and the dtype of its own products
_MATRICES = ("kernel", "recurrent_RG")  # what multiplies vectors; an embedding is a table, not a map
_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: as steep at 0 as can be that ends near 1
_ITERATIONS = 5


def undivided(function: Callable[[jax.Array], jax.Array], stack: jax.Array) -> jax.Array:
    """`function(stack)`: the way of one device to share the work on the rows of a stack."""
    return function(stack)


def adam(numbers: Numbers, divide: Divide, dtype: Any) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), before the learning rate."""
    del divide, dtype
    return optax.scale_by_adam(
        b1=numbers["adam_beta1"],
        b2=numbers["adam_beta2"],
        eps=numbers["adam_epsilon"],
    )


def muon(numbers: Numbers, divide: Divide, dtype: Any) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for matrices, Adam for embeddings, biases and norms; before the learning rate.

    Changes of matrices have the root mean square 0.2 (Liu et al. 2025, "Muon is Scalable for LLM Training"), about
    what Adam's have: one learning rate serves both, unless `train.adam_learning_rate` gives Adam another.
    """

    def directions(stack: jax.Array) -> jax.Array:
        return orthogonalized(stack, dtype) * (0.2 * math.sqrt(max(stack.shape[1:])))

    matrices = optax.chain(
        optax.trace(decay=0.95, nesterov=True),
        optax.stateless(lambda updates, _: _in_stacks(functools.partial(divide, directions), updates)),
    )
    others = adam(numbers, divide, dtype)

    def scaled(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        changes, state = others.update(updates, state, params)
        return jax.tree.map(lambda change: change * numbers["adam_factor"], changes), state

    # Not `optax.chain`, with which a state would have another structure than those that are on disk.
    scaled_adam = optax.GradientTransformation(others.init, scaled)
    return optax.partition({"matrix": matrices, "other": scaled_adam}, _kinds)


def orthogonalized(stack: jax.Array, dtype: Any = jnp.float32) -> jax.Array:
    """About U Vᵀ of each matrix U S Vᵀ, its singular values between 0.7 and 1.2: Muon's Newton-Schulz iteration.

    Optax's, but for the dtype of the products, which XLA multiplies fast on a CPU only as `ops.products` has them.

    Args:
      stack: float32 [matrices, rows, columns].
      dtype: of what is multiplied; sums and all else are float32.
    """
    linear, cubic, quintic = _QUINTIC
    tall = stack.shape[1] > stack.shape[2]
    x = stack.swapaxes(1, 2) if tall else stack  # the products x xᵀ are to be the small ones
    x = x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-8)
    for _ in range(_ITERATIONS):
        rounded = x.astype(dtype)
        square = matmul.nt(rounded, rounded, jnp.float32)
        half = square.astype(dtype)
        polynomial = cubic * square + quintic * matmul.nn(half, half, jnp.float32)
        x = linear * x + matmul.nn(polynomial.astype(dtype), rounded, jnp.float32)
    return x.swapaxes(1, 2) if tall else x


def _kinds(params: Any) -> Any:
    return jax.tree.map_with_path(lambda path, _: "matrix" if path and path[-1].key in _MATRICES else "other", params)


def _in_stacks(function: Callable[[jax.Array], jax.Array], tree: Any) -> Any:
    """The tree after `function`, which sees all arrays of one shape at once, stacked: few large products."""
    leaves, structure = jax.tree.flatten(tree)
    for shape in dict.fromkeys(leaf.shape for leaf in leaves):
        numbers = [number for number, leaf in enumerate(leaves) if leaf.shape == shape]
        stack = function(jnp.stack([leaves[number] for number in numbers]))
        for row, number in enumerate(numbers):
            leaves[number] = stack[row]
    return jax.tree.unflatten(structure, leaves)


def lion(numbers: Numbers, divide: Divide, dtype: Any) -> optax.GradientTransformation:
    """Lion (Chen et al. 2023), before the learning rate; it wants one that is several times smaller than Adam's."""
    del divide, dtype
    return optax.scale_by_lion(b1=cast(float, numbers["adam_beta1"]), b2=cast(float, numbers["adam_beta2"]))


def adafactor(numbers: Numbers, divide: Divide, dtype: Any) -> optax.GradientTransformation:
    """Adafactor (Shazeer & Stern 2018) with a learning rate from outside, before it: their "relative" one.

    Changes are measured in parameters' own size: a learning rate of 1e-2 moves each matrix by a hundredth.
    """
    del numbers, divide, dtype
    return optax.chain(
        optax.scale_by_factored_rms(min_dim_size_to_factor=32),
        optax.clip_by_block_rms(1.0),
        optax.scale_by_param_block_rms(1e-3),
    )


def decayed(optimizer: Optimizer) -> Optimizer:
    """With decoupled weight decay of matrices (Loshchilov & Hutter 2019): learning rate × decay × parameter."""

    def make(numbers: Numbers, divide: Divide, dtype: Any) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(
            numbers["weight_decay"], mask=lambda params: jax.tree.map(lambda kind: kind == "matrix", _kinds(params))
        )
        return optax.chain(optimizer(numbers, divide, dtype), decay)

    return make


OPTIMIZERS: dict[str, Optimizer] = {
    "adam": adam,
    "adamw": decayed(adam),
    "adafactor": adafactor,
    "lion": decayed(lion),
    "muon": decayed(muon),
}
_WITHOUT_DECAY = ("adam", "adafactor")


def make(spec: TrainSpec, numbers: Numbers, divide: Divide = undivided) -> optax.GradientTransformation:
    """What turns a mean gradient into a change of parameters, but for the factor -learning rate.

    Args:
      spec: which optimizer.
      numbers: its settings.
      divide: `function(stack)`, by one device or by several that take some rows of the stack each.

    Raises:
      ValueError: `train.optimizer` is not known, or has no weight decay, or no second learning rate.
    """
    if spec.optimizer not in OPTIMIZERS:
        raise ValueError(f"train.optimizer: {spec.optimizer!r} is none of {', '.join(OPTIMIZERS)}")
    if spec.weight_decay and spec.optimizer in _WITHOUT_DECAY:
        raise ValueError(
            f"train.weight_decay: {spec.weight_decay} changes nothing with train.optimizer={spec.optimizer}; "
            f"those that have one: {', '.join(name for name in OPTIMIZERS if name not in _WITHOUT_DECAY)}"
        )
    if spec.adam_learning_rate and spec.optimizer != "muon":
        raise ValueError(
            f"train.adam_learning_rate: {spec.adam_learning_rate} changes nothing with train.optimizer="
            f"{spec.optimizer}; it is for muon"
        )
    optimizer = OPTIMIZERS[spec.optimizer](numbers, divide, jnp.dtype(spec.muon_dtype or "float32"))
    if spec.clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(numbers["clip_norm"]), optimizer)
