"""Learning rate schedules; Section 5.3, Eq. 3."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from transformer.spec import ModelSpec, TrainSpec

Schedule = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # (step, warmup, last step) → fraction of the peak


def inverse_sqrt(step: jax.Array, warmup: jax.Array, last: jax.Array) -> jax.Array:
    """Computes the fraction of the peak: linear warm-up, then √(warmup / step); Eq. 3 divided by its peak."""
    return jnp.minimum(step / warmup, jnp.sqrt(warmup / step))


def linear(step: jax.Array, warmup: jax.Array, last: jax.Array) -> jax.Array:
    """Computes the fraction of the peak: linear warm-up, then linear decay to 0 at step `last` + 1."""
    return jnp.minimum(step / warmup, (last + 1 - step) / jnp.maximum(last + 1 - warmup, 1))


def constant(step: jax.Array, warmup: jax.Array, last: jax.Array) -> jax.Array:
    """Computes the fraction of the peak: linear warm-up, then 1."""
    return jnp.minimum(step / warmup, 1.0)


SCHEDULES: dict[str, Schedule] = {"inverse_sqrt": inverse_sqrt, "linear": linear, "constant": constant}


def peak_learning_rate(train: TrainSpec, model: ModelSpec) -> float:
    """Returns the learning rate after warm-up: the configured one, or Eq. 3, d_model^-0.5 · warmup_steps^-0.5."""
    if train.learning_rate is not None:
        return train.learning_rate
    return (model.d_model * train.warmup_steps) ** -0.5
