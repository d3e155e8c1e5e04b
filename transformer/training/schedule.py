"""Learning rates; Section 5.3, Eq. 3."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from transformer.spec import ModelSpec, TrainSpec

Schedule = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def inverse_sqrt(step: jax.Array, warmup: jax.Array, last: jax.Array) -> jax.Array:
    """Fraction of the peak: linear growth over `warmup` steps, then √(warmup / step); Eq. 3 divided by its peak."""
    return jnp.minimum(step / warmup, jnp.sqrt(warmup / step))


def linear(step: jax.Array, warmup: jax.Array, last: jax.Array) -> jax.Array:
    """Fraction of the peak: linear growth over `warmup` steps, then a straight line to 0 after step `last`."""
    return jnp.minimum(step / warmup, (last + 1 - step) / jnp.maximum(last + 1 - warmup, 1))


def constant(step: jax.Array, warmup: jax.Array, last: jax.Array) -> jax.Array:
    """Fraction of the peak: linear growth over `warmup` steps, then 1."""
    return jnp.minimum(step / warmup, 1.0)


SCHEDULES: dict[str, Schedule] = {"inverse_sqrt": inverse_sqrt, "linear": linear, "constant": constant}


def peak(train: TrainSpec, model: ModelSpec) -> float:
    """The learning rate at the end of the warm-up: as configured, or Eq. 3's d_model^-0.5 · warmup_steps^-0.5."""
    if train.learning_rate is not None:
        return train.learning_rate
    return (model.d_model * train.warmup_steps) ** -0.5
