"""Layers with random parameters: initial values of zero or one can hide errors."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
import pytest
from flax import nnx

Layer = TypeVar("Layer", bound=nnx.Module)


@pytest.fixture(scope="session")
def draw() -> Callable[..., nnx.Module]:
    """Makes a layer with normally distributed parameters, including biases, without running its initializers."""

    def fill(path: tuple, shape: jax.ShapeDtypeStruct, generator: np.random.Generator) -> jax.Array:
        mean = 1.0 if "scale_D" in jax.tree_util.keystr(path) else 0.0
        return jax.numpy.asarray(generator.normal(mean, 0.5, shape.shape), shape.dtype)

    def make(layer: Callable[[], Layer], seed: int = 0) -> Layer:
        generator = np.random.default_rng(seed)
        shapes = nnx.eval_shape(layer)
        return jax.tree_util.tree_map_with_path(lambda path, shape: fill(path, shape, generator), shapes)

    return make
