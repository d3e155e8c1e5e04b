"""Attribution: how much each token of the source and of the prefix contributes to the score of the next token.

The score is `patching.log_odds`, a contrast of two tokens, or `patching.log_probability`, that of one. All functions
are pure, to be called inside `jax.jit`, and return one number per token; padding has 0.

Without a token means with a zero vector instead of its embedding, to which positions are still added. This is the
baseline of integrated gradients and of occlusion.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from transformer.analysis.patching import ContrastBatch
from transformer.analysis.tracing import Activations, Patch, activations, patch
from transformer.models.interface import Seq2Seq
from transformer.ops.masks import is_token

Score = Callable[[Seq2Seq, ContrastBatch, Activations], jax.Array]  # to one number per row
_SIDES = ("encoder/token_embedding", "decoder/token_embedding")
_MAPPED = 4  # positions that are left out jointly
_STEPS = 24  # of the integral


class Attribution(NamedTuple):
    """Contributions of tokens to the score of each row."""

    source_BS: jax.Array
    prefix_BT: jax.Array

    def total(self) -> jax.Array:
        """Returns the sum over all tokens, [B]."""
        return self.source_BS.sum(axis=1) + self.prefix_BT.sum(axis=1)


def score_without_tokens(model: Seq2Seq, batch: ContrastBatch, score: Score) -> jax.Array:
    """Returns the scores without any token, [B]: the baseline of the sum of contributions."""
    return _score(model, batch, score, [patch(side, 0) for side in _SIDES])


def _score(model: Seq2Seq, batch: ContrastBatch, score: Score, patches: Sequence[Patch]) -> jax.Array:
    return score(model, batch, activations(model, batch.source_BS, batch.input_BT, patches))


def input_x_gradient(model: Seq2Seq, batch: ContrastBatch, score: Score) -> Attribution:
    """Returns the gradient with respect to each embedding times the embedding; Denil et al. 2014.

    Its sum is the change of the score without tokens only for a linear model.
    """
    return _along_path(model, batch, score, np.ones(1), np.ones(1))


def integrated_gradients(model: Seq2Seq, batch: ContrastBatch, score: Score, steps: int = _STEPS) -> Attribution:
    """Returns the mean gradient between zero and each embedding, times the embedding; Sundararajan et al. 2017.

    The sum is the score minus that without tokens, up to the error of the quadrature.

    Args:
      model: an NNX module.
      batch: the rows.
      score: what is attributed.
      steps: number of points of the Gauss-Legendre quadrature.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    return _along_path(model, batch, score, (points + 1) / 2, weights / 2)


def _along_path(
    model: Seq2Seq, batch: ContrastBatch, score: Score, points: np.ndarray, weights: np.ndarray
) -> Attribution:
    traced = activations(model, batch.source_BS, batch.input_BT)
    embeddings = [traced[side] for side in _SIDES]

    def total(scaled: list[jax.Array]) -> jax.Array:  # rows are independent, so one gradient holds those of all rows
        return _score(model, batch, score, list(map(patch, _SIDES, scaled))).sum()

    def weighted(point: tuple[jax.Array, jax.Array]) -> list[jax.Array]:
        gradients = jax.grad(total)([point[0] * embedding for embedding in embeddings])
        return [point[1] * gradient for gradient in gradients]

    mean = jax.tree.map(
        lambda gradients: gradients.sum(axis=0),
        jax.lax.map(weighted, (jnp.asarray(points, jnp.float32), jnp.asarray(weights, jnp.float32))),
    )
    source_BS, prefix_BT = ((gradient * x).sum(axis=-1) for gradient, x in zip(mean, embeddings, strict=True))
    return _without_padding(batch, source_BS, prefix_BT)


def _without_padding(batch: ContrastBatch, source_BS: jax.Array, prefix_BT: jax.Array) -> Attribution:
    source_BS = jnp.where(is_token(batch.source_BS), source_BS, 0)
    return Attribution(source_BS, jnp.where(is_token(batch.input_BT), prefix_BT, 0))


def occlusion(model: Seq2Seq, batch: ContrastBatch, score: Score) -> Attribution:
    """Returns the score minus that without each token; Zeiler & Fergus 2014, Li et al. 2016."""

    def without(source: jax.Array, prefix: jax.Array) -> jax.Array:
        patches = [patch(side, 0, positions=position) for side, position in zip(_SIDES, (source, prefix), strict=True)]
        return _score(model, batch, score, patches)

    return _changes(batch, without)


def value_zeroing(model: Seq2Seq, batch: ContrastBatch, score: Score) -> Attribution:
    """Returns the score minus that with the values of each token set to zero in all attentions; Mohebbi et al. 2023.

    Departs: the paper zeroes the values of one layer, and measures the change of its output instead of the score's.

    Raises:
      ValueError: the model has no attention.
    """
    weights = _attention_weights(activations(model, batch.source_BS, batch.input_BT))
    of_prefix = [name for name in weights if name.startswith("decoder/") and "self_attention" in name]

    def without(source: jax.Array, prefix: jax.Array) -> jax.Array:
        patches = []
        for name, weights_BHTS in weights.items():
            position = prefix if name in of_prefix else source
            # A key whose value is zero and one whose weights are zero add the same.
            kept = jnp.arange(weights_BHTS.shape[3]) != position
            patches.append(Patch(name, jnp.multiply, kept.astype(jnp.float32)[None, None, None]))
        return _score(model, batch, score, patches)

    return _changes(batch, without)


def _changes(batch: ContrastBatch, without: Callable[[jax.Array, jax.Array], jax.Array]) -> Attribution:
    """Returns the score minus that without each token.

    Args:
      batch: the rows.
      without: the scores without the source token and the prefix token at two positions; -1 removes none.
    """
    source, prefix = jnp.arange(batch.source_BS.shape[1]), jnp.arange(batch.input_BT.shape[1])
    none = jnp.array([-1])
    positions = (
        jnp.concatenate([source, jnp.full_like(prefix, -1), none]),
        jnp.concatenate([jnp.full_like(source, -1), prefix, none]),
    )
    scores = jax.lax.map(lambda pair: without(*pair), positions, batch_size=_MAPPED)
    changes_BN = (scores[-1:] - scores[:-1]).T
    return _without_padding(batch, *jnp.split(changes_BN, [len(source)], axis=1))


def attention_rollout(model: Seq2Seq, batch: ContrastBatch, score: Score) -> Attribution:
    """Returns the product of the layers' attention, each averaged with the identity; Abnar & Zuidema 2020.

    It is the same for every score. In an encoder-decoder model a decoder position is a mixture of source and prefix
    tokens: self-attention mixes positions, cross-attention adds the mixtures of the encoder (Ferrando et al. 2022).

    Raises:
      ValueError: the model has no attention.
    """
    del score
    traced = activations(model, batch.source_BS, batch.input_BT)
    weights = {name: weights_BHTS.mean(axis=1) for name, weights_BHTS in _attention_weights(traced).items()}
    source = jnp.broadcast_to(jnp.eye(batch.source_BS.shape[1]), (*batch.source_BS.shape, batch.source_BS.shape[1]))
    of_source = jnp.zeros((*batch.input_BT.shape, batch.source_BS.shape[1]))
    of_prefix = jnp.broadcast_to(jnp.eye(batch.input_BT.shape[1]), (*batch.input_BT.shape, batch.input_BT.shape[1]))
    for name in sorted(weights, key=lambda name: (name[0] != "e", int(name.split("/")[1]), "cross" in name)):
        weight = weights[name]
        if name.startswith("encoder/"):
            source = (source + weight @ source) / 2
        elif "cross_attention" in name:
            of_source, of_prefix = (of_source + weight @ source) / 2, of_prefix / 2
        else:
            of_source, of_prefix = ((x + weight @ x) / 2 for x in (of_source, of_prefix))
    rows = (jnp.take_along_axis(x, batch.position_B[:, None, None], axis=1)[:, 0] for x in (of_source, of_prefix))
    return _without_padding(batch, *rows)


def _attention_weights(traced: Activations) -> Activations:
    weights = {name: value for name, value in traced.items() if name.endswith("/weights")}
    if not weights:
        raise ValueError("this model has no attention; attribute by gradients or occlusion")
    return weights


METHODS: dict[str, Callable[[Seq2Seq, ContrastBatch, Score], Attribution]] = {
    "input × gradient": input_x_gradient,
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
    "value zeroing": value_zeroing,
    "attention rollout": attention_rollout,
}
ATTENTION_METHODS = ("value zeroing", "attention rollout")  # for models with attention
