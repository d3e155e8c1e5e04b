"""Label-smoothed cross-entropy as (sum, weight) pairs, never means: sums of any split of a batch add up."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class LossSums(NamedTuple):
    """Sums over the target tokens of a batch, in nats; float32 scalars."""

    loss: jax.Array  # label-smoothed cross-entropy: what is minimised
    nll: jax.Array  # negative log-likelihood: what perplexity is made of
    weight: jax.Array  # number of target tokens


def cross_entropy(logits_TV: jax.Array, target_T: jax.Array, weight_T: jax.Array, smoothing: jax.Array) -> LossSums:
    """Cross-entropy against a target that is right with 1 - ε and uniform over the vocabulary with ε; Section 5.4.

    The smoothed sum needs the mean of the logits only, so no [T, V] target is ever made.

    Args:
      logits_TV: float32; any number of leading axes, the same as those of `target_T`.
      target_T: int32 ids of the vocabulary, at padding too.
      weight_T: float32, 0 at padding.
      smoothing: ε in [0, 1).
    """
    normaliser_T = jax.nn.logsumexp(logits_TV, axis=-1)
    nll_T = normaliser_T - _of_target(logits_TV, target_T)
    uniform_T = normaliser_T - jnp.mean(logits_TV, axis=-1)
    loss_T = (1 - smoothing) * nll_T + smoothing * uniform_T
    return LossSums(jnp.sum(loss_T * weight_T), jnp.sum(nll_T * weight_T), jnp.sum(weight_T))


def _is_target(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.int32, logits_TV.shape, logits_TV.ndim - 1) == target_T[..., None]


@jax.custom_vjp
def _of_target(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    """Each target's logit; its gradient is a comparison, which fuses, where that of a gather is a scatter, and slow."""
    # What a CPU adds up it writes down first. Elsewhere a gather would bring together what devices divided by words.
    return jax.lax.platform_dependent(logits_TV, target_T, cpu=_gathered, default=_compared)


def _gathered(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits_TV, target_T[..., None], axis=-1, mode="clip")[..., 0]


def _compared(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(_is_target(logits_TV, target_T), logits_TV, 0.0), axis=-1)


def _of_target_backward(saved: tuple[jax.Array, jax.Array], gradient_T: jax.Array) -> tuple[jax.Array, None]:
    return jnp.where(_is_target(*saved), gradient_T[..., None], 0.0), None


_of_target.defvjp(
    lambda logits_TV, target_T: (_of_target(logits_TV, target_T), (logits_TV, target_T)), _of_target_backward
)


def fused_cross_entropy(
    logits: Callable[[jax.Array], jax.Array],
    hidden_BTD: jax.Array,
    target_BT: jax.Array,
    weight_BT: jax.Array,
    smoothing: jax.Array,
    tokens: int | None,
) -> LossSums:
    """`cross_entropy(logits(hidden_BTD), ...)`, whose logits never exist all at one time.

    Logits are the largest array of a training step. Here those of a few positions of each row are made, turned into
    their part of the loss and of its gradient while they are in the cache, and forgotten. Only `loss` has a gradient;
    `nll` and `weight` are constants to differentiation.

    Args:
      logits: [..., D] to float32 [..., V]; may close over parameters, which get their gradients.
      hidden_BTD, target_BT, weight_BT, smoothing: as for `cross_entropy`.
      tokens: whose logits are made at a time, about: all rows have equally many of them; None: all.
    """
    rows, length = target_BT.shape
    chunk = length if tokens is None else _positions(rows, length, tokens)
    extra = -length % chunk

    def parts(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2))
        return padded.reshape(x.shape[0], -1, chunk, *x.shape[2:]).swapaxes(0, 1)

    pure_logits, parameters = jax.closure_convert(logits, hidden_BTD[:, :chunk].reshape(-1, hidden_BTD.shape[2]))

    def part_sums(parameters: Any, hidden: jax.Array, target: jax.Array, weight: jax.Array) -> Any:
        # Flat, because a matrix product and what fuses into it are faster on matrices than on [B, T, D].
        logits_TV = pure_logits(hidden.reshape(-1, hidden.shape[-1]), *parameters)
        sums = cross_entropy(logits_TV, target.reshape(-1), weight.reshape(-1), smoothing)
        return sums.loss, sums

    @jax.custom_vjp
    def total(parameters: Any, hidden_BTD: jax.Array) -> LossSums:
        def one(sums: LossSums, part: Any) -> tuple[LossSums, None]:
            return jax.tree.map(jnp.add, sums, part_sums(parameters, *part)[1]), None

        return jax.lax.scan(one, LossSums(*jnp.zeros(3)), tuple(map(parts, (hidden_BTD, target_BT, weight_BT))))[0]

    def forward(parameters: Any, hidden_BTD: jax.Array) -> tuple[LossSums, Any]:
        def one(carry: Any, part: Any) -> Any:
            gradients, new = jax.grad(part_sums, argnums=(0, 1), has_aux=True)(parameters, *part)
            return jax.tree.map(jnp.add, carry, (new, gradients[0])), gradients[1]

        zero = (LossSums(*jnp.zeros(3)), jax.tree.map(jnp.zeros_like, parameters))
        (sums, parameter_gradient), hidden_gradient = jax.lax.scan(
            one, zero, tuple(map(parts, (hidden_BTD, target_BT, weight_BT)))
        )
        hidden_gradient = hidden_gradient.swapaxes(0, 1).reshape(hidden_BTD.shape[0], -1, hidden_BTD.shape[2])
        return sums, (parameter_gradient, hidden_gradient[:, :length])

    def backward(gradients: Any, cotangent: LossSums) -> Any:
        return jax.tree.map(lambda gradient: (gradient * cotangent.loss).astype(gradient.dtype), gradients)

    total.defvjp(forward, backward)
    return total(parameters, hidden_BTD)


def _positions(rows: int, length: int, tokens: int) -> int:
    """How many positions of each row are about so many tokens, with as little left over as can be."""
    parts = -(-length // max(1, round(tokens / rows)))
    return -(-length // parts)
