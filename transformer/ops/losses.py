"""Label-smoothed cross-entropy as (sum, weight) pairs, not means, so that the sums of any split of a batch add up.

With consistency regularisation, the loss also has a Kullback-Leibler divergence between two passes of the model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class LossSums(NamedTuple):
    """Sums over the target tokens of a batch, in nats; float32 scalars."""

    loss: jax.Array  # label-smoothed cross-entropy, and in training the divergence of two passes: the objective
    nll: jax.Array  # negative log-likelihood, for perplexity
    weight: jax.Array  # number of target tokens


def cross_entropy(logits_TV: jax.Array, target_T: jax.Array, weight_T: jax.Array, smoothing: jax.Array) -> LossSums:
    """Computes the cross-entropy against 1 - ε times the one-hot target plus ε times the uniform one; Section 5.4.

    The smoothed sum needs only the mean of the logits, so no [T, V] target exists.

    Args:
      logits_TV: float32, with any number of leading axes, equal to those of `target_T`.
      target_T: int32 ids in the vocabulary, also at padding.
      weight_T: float32, 0 at padding.
      smoothing: ε in [0, 1).
    """
    normaliser_T = jax.nn.logsumexp(logits_TV, axis=-1)
    nll_T = normaliser_T - _target_logit(logits_TV, target_T)
    uniform_T = normaliser_T - jnp.mean(logits_TV, axis=-1)
    loss_T = (1 - smoothing) * nll_T + smoothing * uniform_T
    return LossSums(jnp.sum(loss_T * weight_T), jnp.sum(nll_T * weight_T), jnp.sum(weight_T))


def consistency(
    first_TV: jax.Array,
    second_TV: jax.Array,
    target_T: jax.Array,
    weight_T: jax.Array,
    smoothing: jax.Array,
    strength: jax.Array,
    kind: str,
) -> LossSums:
    """Computes the cross-entropy of two passes plus `strength` times their divergence.

    "rdrop": the mean of both cross-entropies, and (KL(P‖Q) + KL(Q‖P)) / 2; Liang et al. 2021, Eq. 4, divided by 2.
    "simcut": the cross-entropy of P, and KL(P‖Q) for the pass Q with token cutoff; Gao et al. 2022, Eq. 5.

    Gradients flow through both distributions. Gao et al. call this bidirectional backpropagation; stopping the
    gradient of P, as in virtual adversarial training, gives them lower scores.

    Args:
      first_TV, second_TV: logits of P and Q, as for `cross_entropy`.
      target_T, weight_T, smoothing: as for `cross_entropy`.
      strength: weight of the divergence.
      kind: "rdrop" or "simcut".
    """
    first, second = (cross_entropy(logits_TV, target_T, weight_T, smoothing) for logits_TV in (first_TV, second_TV))
    log_p_TV, log_q_TV = jax.nn.log_softmax(first_TV), jax.nn.log_softmax(second_TV)
    difference_TV = log_p_TV - log_q_TV
    if kind == "simcut":
        sums, divergence_T = first, jnp.sum(jnp.exp(log_p_TV) * difference_TV, axis=-1)
    else:
        sums = jax.tree.map(lambda one, other: (one + other) / 2, first, second)
        divergence_T = jnp.sum((jnp.exp(log_p_TV) - jnp.exp(log_q_TV)) * difference_TV, axis=-1) / 2
    return sums._replace(loss=sums.loss + strength * jnp.sum(divergence_T * weight_T))


def _is_target(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.int32, logits_TV.shape, logits_TV.ndim - 1) == target_T[..., None]


@jax.custom_vjp
def _target_logit(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    """Selects each target's logit. The gradient is a comparison, which fuses; that of a gather is a slow scatter."""
    # On a CPU the comparison's sum would materialise its operand. Elsewhere a gather would all-gather logits that are
    # sharded over the vocabulary.
    return jax.lax.platform_dependent(logits_TV, target_T, cpu=_select_by_gather, default=_select_by_comparison)


def _select_by_gather(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits_TV, target_T[..., None], axis=-1, mode="clip")[..., 0]


def _select_by_comparison(logits_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(_is_target(logits_TV, target_T), logits_TV, 0.0), axis=-1)


def _target_logit_backward(saved: tuple[jax.Array, jax.Array], gradient_T: jax.Array) -> tuple[jax.Array, None]:
    return jnp.where(_is_target(*saved), gradient_T[..., None], 0.0), None


_target_logit.defvjp(
    lambda logits_TV, target_T: (_target_logit(logits_TV, target_T), (logits_TV, target_T)), _target_logit_backward
)


def fused_cross_entropy(
    logits: Callable[[jax.Array], jax.Array],
    hidden_BTD: jax.Array,
    target_BT: jax.Array,
    weight_BT: jax.Array,
    smoothing: jax.Array,
    tokens: int | None,
) -> LossSums:
    """Computes `cross_entropy(logits(hidden_BTD), ...)` without materialising all logits at once.

    Logits are the largest array of a training step. This function computes the logits of a few positions of each row,
    reduces them to their part of the loss and its gradient while they are in the cache, and discards them. Only `loss`
    has a gradient; differentiation treats `nll` and `weight` as constants.

    Args:
      logits: maps [..., D] to float32 [..., V]; may close over parameters, which get gradients.
      hidden_BTD, target_BT, weight_BT, smoothing: as for `cross_entropy`.
      tokens: approximate number of tokens whose logits exist at a time, equally many per row; None: all.
    """

    def loss(logits_TV: jax.Array, target_T: jax.Array, weight_T: jax.Array) -> LossSums:
        return cross_entropy(logits_TV, target_T, weight_T, smoothing)

    return _fused(loss, logits, (hidden_BTD,), target_BT, weight_BT, tokens)


def fused_consistency(
    logits: Callable[[jax.Array], jax.Array],
    hidden_PBTD: jax.Array,
    target_BT: jax.Array,
    weight_BT: jax.Array,
    smoothing: jax.Array,
    strength: jax.Array,
    kind: str,
    tokens: int | None,
) -> LossSums:
    """Computes `consistency` of the two passes in `hidden_PBTD`, as `fused_cross_entropy` computes `cross_entropy`."""

    def loss(first_TV: jax.Array, second_TV: jax.Array, target_T: jax.Array, weight_T: jax.Array) -> LossSums:
        return consistency(first_TV, second_TV, target_T, weight_T, smoothing, strength, kind)

    return _fused(loss, logits, (hidden_PBTD[0], hidden_PBTD[1]), target_BT, weight_BT, tokens)


def _fused(
    loss: Callable[..., LossSums],
    logits: Callable[[jax.Array], jax.Array],
    hidden: tuple[jax.Array, ...],
    target_BT: jax.Array,
    weight_BT: jax.Array,
    tokens: int | None,
) -> LossSums:
    """Sums `loss(logits of each pass, target, weight)` over chunks; `hidden` has an array [B, T, D] per pass."""
    rows, length = target_BT.shape
    chunk = length if tokens is None else _chunk_length(rows, length, tokens // len(hidden))
    extra = -length % chunk

    def split_chunks(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2))
        return padded.reshape(x.shape[0], -1, chunk, *x.shape[2:]).swapaxes(0, 1)

    pure_logits, parameters = jax.closure_convert(logits, hidden[0][:, :chunk].reshape(-1, hidden[0].shape[2]))

    def chunk_sums(parameters: Any, hidden: tuple[jax.Array, ...], target: jax.Array, weight: jax.Array) -> Any:
        # Flattened: the matmul and the operations fused into it are faster on matrices than on [B, T, D].
        logits_TV = [pure_logits(x.reshape(-1, x.shape[-1]), *parameters) for x in hidden]
        sums = loss(*logits_TV, target.reshape(-1), weight.reshape(-1))
        return sums.loss, sums

    @jax.custom_vjp
    def total_sums(parameters: Any, hidden: tuple[jax.Array, ...]) -> LossSums:
        def add_chunk(sums: LossSums, chunk: Any) -> tuple[LossSums, None]:
            return jax.tree.map(jnp.add, sums, chunk_sums(parameters, *chunk)[1]), None

        return jax.lax.scan(
            add_chunk, LossSums(*jnp.zeros(3)), jax.tree.map(split_chunks, (hidden, target_BT, weight_BT))
        )[0]

    def forward(parameters: Any, hidden: tuple[jax.Array, ...]) -> tuple[LossSums, Any]:
        def add_chunk(carry: Any, chunk: Any) -> Any:
            gradients, new = jax.grad(chunk_sums, argnums=(0, 1), has_aux=True)(parameters, *chunk)
            return jax.tree.map(jnp.add, carry, (new, gradients[0])), gradients[1]

        zero = (LossSums(*jnp.zeros(3)), jax.tree.map(jnp.zeros_like, parameters))
        (sums, parameter_gradient), hidden_gradient = jax.lax.scan(
            add_chunk, zero, jax.tree.map(split_chunks, (hidden, target_BT, weight_BT))
        )
        joined = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(rows, -1, x.shape[-1])[:, :length], hidden_gradient)
        return sums, (parameter_gradient, joined)

    def backward(gradients: Any, cotangent: LossSums) -> Any:
        return jax.tree.map(lambda gradient: (gradient * cotangent.loss).astype(gradient.dtype), gradients)

    total_sums.defvjp(forward, backward)
    return total_sums(parameters, hidden)


def _chunk_length(rows: int, length: int, tokens: int) -> int:
    """Returns the number of positions per row and chunk, for about `tokens` tokens per chunk and little padding."""
    chunks = -(-length // max(1, round(tokens / rows)))
    return -(-length // chunks)
