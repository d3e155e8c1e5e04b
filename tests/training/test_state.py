"""Split and merge return the same model; parameters are a dict that a checkpoint can hold."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.training import state as states

LAYERS = 12  # "10" sorts before "2"


class Layer(nnx.Module):
    def __init__(self, number: int) -> None:
        self.number = number
        self.weight = nnx.Param(jnp.full(number + 1, number, jnp.float32))


class Table(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.entries = nnx.Param(jax.random.normal(rngs.params(), (3, 5)))


class Stack(nnx.Module):
    """A list of layers, and one table under two names."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.read = Table(rngs)
        self.layers = nnx.List([Layer(number) for number in range(LAYERS)])
        self.write = self.read


def stack() -> Any:
    return Stack(nnx.Rngs(params=jax.random.key(7)))


@pytest.fixture(scope="module")
def parts() -> tuple[states.ModelDef, states.Params]:
    return states.split(stack())


def test_parameters_are_a_dict_with_text_keys(parts: tuple[states.ModelDef, states.Params]) -> None:
    _, params = parts
    assert params.keys() == {"layers", "read"}  # a shared module appears once
    assert set(params["layers"]) == {str(number) for number in range(LAYERS)}
    for number in range(LAYERS):
        np.testing.assert_array_equal(params["layers"][str(number)]["weight"], np.full(number + 1, number))
    assert all(type(leaf).__name__ == "ArrayImpl" for leaf in jax.tree.leaves(params))


def test_split_and_merge_is_the_same_model(parts: tuple[states.ModelDef, states.Params]) -> None:
    model, params = parts
    merged = cast(Any, model(params))
    assert [layer.number for layer in merged.layers] == list(range(LAYERS))
    for number, layer in enumerate(merged.layers):
        np.testing.assert_array_equal(layer.weight[...], np.full(number + 1, number))
    assert merged.write is merged.read
    np.testing.assert_array_equal(merged.read.entries[...], stack().read.entries[...])


def test_other_parameters_make_another_model(parts: tuple[states.ModelDef, states.Params]) -> None:
    """Under jit, as in a step; the split parameters are unchanged."""
    model, params = parts
    changed = jax.tree.map(lambda leaf: leaf + 1, params)

    @jax.jit
    def outputs(params: states.Params) -> tuple[jax.Array, jax.Array]:
        merged = cast(Any, model(params))
        return merged.layers[10].weight[...], merged.write.entries[...]

    weight, entries = outputs(changed)
    np.testing.assert_array_equal(weight, np.full(11, 11))
    np.testing.assert_array_equal(entries, np.asarray(params["read"]["entries"]) + 1)
    np.testing.assert_array_equal(params["layers"]["10"]["weight"], np.full(11, 10))


def test_the_structure_needs_no_parameters(parts: tuple[states.ModelDef, states.Params]) -> None:
    """An abstract build, which computes nothing, has the structure of a real one."""
    _, params = parts
    model, shapes = states.split(cast(Any, nnx.eval_shape(stack)))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)
    merged = cast(Any, model(params))
    np.testing.assert_array_equal(merged.layers[11].weight[...], np.full(12, 11))


def test_count(parts: tuple[states.ModelDef, states.Params]) -> None:
    """Layers of 1 to 12 parameters, and a shared table of 3 · 5, counted once."""
    assert states.parameter_count(parts[1]) == 12 * 13 // 2 + 15


def test_zeros_like() -> None:
    tree = {"a": jnp.full((2, 3), 5.0), "b": (jnp.int32(7),)}
    zeros = states.zeros_like(tree)
    assert jax.tree.structure(zeros) == jax.tree.structure(tree)
    for zero, leaf in zip(jax.tree.leaves(zeros), jax.tree.leaves(tree), strict=True):
        assert (zero.shape, zero.dtype) == (leaf.shape, leaf.dtype)
        assert not zero.any()
