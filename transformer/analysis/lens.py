"""The logit lens, and direct logit attribution: what each decoder layer predicts, and which part writes it.

Both are for Transformers. All functions are pure, to be called inside `jax.jit`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from transformer.analysis.patching import ContrastBatch, log_odds, log_probability
from transformer.analysis.tracing import Activations, activations, patch, perturb
from transformer.models.interface import Seq2Seq


def decoder_streams(names: Sequence[str]) -> list[str]:
    """Returns the names of the decoder's residual stream: the embeddings, and after each layer; [] if there is none."""
    layers = [name for name in names if name.startswith("decoder/") and name.endswith("/residual")]
    after = sorted((name for name in layers if name.count("/") == 2), key=lambda name: int(name.split("/")[1]))
    return ["decoder/embedding", *after] if after else []


def logit_lens(model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array) -> jax.Array:
    """Returns the logits of each point of the decoder's residual stream, [points, B, T, V]; nostalgebraist 2020.

    A point replaces the stream after the last layer, so that the final norm and the output projection read it.

    Args:
      model: an NNX module.
      source_BS: source ids with EOS.
      input_BT: decoder inputs.

    Raises:
      ValueError: the model has no residual stream.
    """
    return jnp.stack([run["logits"] for run in _runs_by_point(model, source_BS, input_BT)])


def lens_scores(model: Seq2Seq, batch: ContrastBatch) -> tuple[jax.Array, jax.Array]:
    """Returns the log-odds and log P(right) of each point of the stream, both [points, B]; as `logit_lens`."""
    runs = _runs_by_point(model, batch.source_BS, batch.input_BT)
    scores = ([score(model, batch, run) for run in runs] for score in (log_odds, log_probability))
    odds, right = map(jnp.stack, scores)
    return odds, right


def _runs_by_point(model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array) -> list[Activations]:
    traced = activations(model, source_BS, input_BT)
    streams = decoder_streams(list(traced))
    if not streams:
        raise ValueError("this model has no residual stream, which the logit lens reads")
    return [activations(model, source_BS, input_BT, [patch(streams[-1], traced[name])]) for name in streams]


def direct_effects(model: Seq2Seq, batch: ContrastBatch) -> dict[str, jax.Array]:
    """Returns what each part of the decoder adds directly to the log-odds, without later layers that read it.

    Parts are the embeddings, the heads and the biases of attention, and the feed-forward networks. The scales of the
    norms stay as they are, so the log-odds are linear in the parts: with "biases of norms and output", which no part
    changes, they sum to the score.

    Args:
      model: an NNX module.
      batch: the rows.

    Returns:
      By name, [B], or [B, H] for "decoder/0/cross_attention/heads".

    Raises:
      ValueError: the model has no residual stream.
    """
    traced = activations(model, batch.source_BS, batch.input_BT)
    streams = decoder_streams(list(traced))
    if not streams:
        raise ValueError("this model has no residual stream, to which parts add")
    names = [name for name in traced if name.startswith("decoder/")]
    parts = [name for name in names if name.endswith(("/heads", "feed_forward/output"))]
    outputs = [name for name in names if name.endswith("attention/output")]
    # Only the residual stream carries gradients: what sub-layers read and the scales of norms are constants.
    frozen = [name for name in names if name.endswith(("/input", "/scale"))]
    constants = [patch(name, jax.lax.stop_gradient) for name in frozen]

    def score(deltas: Activations) -> jax.Array:
        patches = [*constants, *(perturb(name, delta) for name, delta in deltas.items())]
        run = activations(model, batch.source_BS, batch.input_BT, patches)
        return log_odds(model, batch, run).sum()

    read = ["decoder/embedding", *parts, *outputs]
    gradients = jax.grad(score)({name: jnp.zeros_like(traced[name]) for name in read})
    effects = {
        name: (gradients[name] * traced[name]).sum(axis=-1).sum(axis=1) for name in ["decoder/embedding", *parts]
    }
    for name in outputs:
        bias = traced[name] - traced[f"{name.removesuffix('output')}heads"].sum(axis=2)
        effects[f"{name.removesuffix('output')}bias"] = (gradients[name] * bias).sum(axis=(1, 2))
    # The log-odds that remain when every part is zero.
    zeros = [patch(name, 0) for name in names if name.endswith("/output") and name.count("/") == 3]
    scales = [patch(name, traced[name]) for name in names if name.endswith("/scale")]
    rest = activations(model, batch.source_BS, batch.input_BT, [patch("decoder/embedding", 0), *zeros, *scales])
    return effects | {"biases of norms and output": log_odds(model, batch, rest)}
