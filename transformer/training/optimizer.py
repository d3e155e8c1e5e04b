"""Optimizers; Section 5.3. Their numbers may be traced, so that one compiled step serves many settings."""

from collections.abc import Callable

import jax
import optax

from transformer.spec import TrainSpec

Numbers = dict[str, jax.Array | float]


def adam(numbers: Numbers) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), before the learning rate."""
    return optax.scale_by_adam(
        b1=numbers["adam_beta1"],
        b2=numbers["adam_beta2"],
        eps=numbers["adam_epsilon"],
    )


OPTIMIZERS: dict[str, Callable[[Numbers], optax.GradientTransformation]] = {"adam": adam}


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
