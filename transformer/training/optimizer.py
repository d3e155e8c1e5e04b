"""Optimizers; Section 5.3. Their numbers may be traced, so that one compiled step serves many settings."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from transformer.spec import TrainSpec

Numbers = dict[str, jax.Array | float]
_MATRICES = ("kernel", "recurrent_RG")  # what multiplies vectors; an embedding is a table, not a map


def adam(numbers: Numbers) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), before the learning rate."""
    return optax.scale_by_adam(
        b1=numbers["adam_beta1"],
        b2=numbers["adam_beta2"],
        eps=numbers["adam_epsilon"],
    )


def muon(numbers: Numbers) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for matrices, Adam for embeddings, biases and norms; before the learning rate.

    Changes of matrices have the root mean square 0.2 (Liu et al. 2025, "Muon is Scalable for LLM Training"), about
    what Adam's have: one learning rate serves both.
    """
    matrices = optax.chain(
        contrib.scale_by_muon(beta=0.95, weight_dimension_numbers=_each_of_a_stack),
        optax.stateless(lambda stacks, _: jax.tree.map(lambda x: x * 0.2 * math.sqrt(max(x.shape[1:])), stacks)),
    )
    return optax.partition({"matrix": _stacked(matrices), "other": adam(numbers)}, _kinds)


def _kinds(params: Any) -> Any:
    return jax.tree.map_with_path(lambda path, _: "matrix" if path and path[-1].key in _MATRICES else "other", params)


def _each_of_a_stack(stacks: Any) -> Any:
    return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(1, 2), stacks)


def _stacked(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """The transformation of stacks of all matrices of one shape: a few large products in place of many small ones."""

    def groups(leaves: list[jax.Array]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, leaf in enumerate(leaves):
            found.setdefault("x".join(map(str, leaf.shape)), []).append(number)
        return found

    def stack(tree: Any) -> dict[str, jax.Array]:
        leaves = jax.tree.leaves(tree)
        return {shape: jnp.stack([leaves[number] for number in group]) for shape, group in groups(leaves).items()}

    def init(params: Any) -> Any:
        return transformation.init(stack(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params  # a direction comes from gradients alone
        stacks: Any
        stacks, state = transformation.update(stack(updates), state)
        leaves, structure = jax.tree.flatten(updates)
        for shape, group in groups(leaves).items():
            for row, number in enumerate(group):
                leaves[number] = stacks[shape][row]
        return jax.tree.unflatten(structure, leaves), state

    return optax.GradientTransformation(init, update)


OPTIMIZERS: dict[str, Callable[[Numbers], optax.GradientTransformation]] = {"adam": adam, "muon": muon}


def make(spec: TrainSpec, numbers: Numbers) -> optax.GradientTransformation:
    """What turns a mean gradient into a change of parameters, but for the factor -learning rate.

    Raises:
      ValueError: `train.optimizer` is not known.
    """
    if spec.optimizer not in OPTIMIZERS:
        raise ValueError(f"train.optimizer: {spec.optimizer!r} is none of {', '.join(OPTIMIZERS)}")
    optimizer = OPTIMIZERS[spec.optimizer](numbers)
    if spec.clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(numbers["clip_norm"]), optimizer)
