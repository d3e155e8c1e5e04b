"""Masking of attention heads through the parameters, importance of heads, and greedy pruning.

Concat(head_1, ..., head_h) W^O is a sum over heads of head_i times its rows of W^O. So scaling these rows scales the
head, and zero rows remove it; the model needs no change. The single head of a recurrent decoder, its context c_i, is
multiplied by C in the gates and by C_o in the output: the rows of both belong to it. The gradient of the loss with
respect to a scale of one is the importance of the head by Michel et al. 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, Any]
Scales = dict[str, Any]  # by name of the attention, float32 [H]: 1 unchanged, 0 masked
Head = tuple[str, int]  # ("cross/1", 0)

_STACKS = {"self_attention": "{stack}", "cross_attention": "cross"}
_PROJECTIONS = {"to_query", "to_key", "to_value", "to_output"}
_CONTEXT = ("context_to_gates", "context_to_output")  # of `models/rnnsearch.py`
Path = tuple[str, ...]


def _output_layers(params: Params) -> dict[str, list[Path]]:
    """Paths of the linear layers whose input is the heads of each attention, by names of `PairOutputs.attention`."""
    paths: dict[str, list[Path]] = {"cross/0": [(name,) for name in _CONTEXT]} if params.keys() >= set(_CONTEXT) else {}

    def visit(tree: Params, path: Path) -> None:
        if path and path[-1] in _STACKS and tree.keys() >= _PROJECTIONS:
            stack, layer, kind = path
            paths[f"{_STACKS[kind].format(stack=stack)}/{layer}"] = [(*path, "to_output")]
            return
        for key, value in tree.items():
            if isinstance(value, dict):
                visit(value, (*path, key))

    visit(params, ())
    return paths


def unit_scales(params: Params, heads: Mapping[str, int]) -> Scales:
    """Returns a scale of one for every head; empty for a model without attention.

    Args:
      params: nested, with str keys.
      heads: number of heads of each attention; `forced_decoding.head_counts`.
    """
    paths = _output_layers(params)
    return {name: np.ones(count, np.float32) for name, count in heads.items() if name in paths}


def mask_heads(scales: Scales, *heads: Head) -> Scales:
    """Returns the scales with some heads set to zero."""
    scales = {name: np.array(scale_H) for name, scale_H in scales.items()}
    for name, head in heads:
        scales[name][head] = 0
    return scales


def unmasked_heads(scales: Scales) -> list[Head]:
    """Returns all heads whose scale is not zero."""
    return [(name, int(head)) for name, scale_H in scales.items() for head in np.flatnonzero(scale_H)]


def scale_heads(params: Params, scales: Scales) -> Params:
    """Returns parameters with the output of every head multiplied by its scale; can be differentiated and compiled."""
    paths = _output_layers(params)
    scaled = dict(params)
    for name, scale_H in scales.items():
        for path in paths[name]:
            layer = scaled
            for key in path:
                layer[key] = dict(layer[key])
                layer = layer[key]
            kernel = layer["kernel"]
            by_head = kernel.reshape(len(scale_H), -1, kernel.shape[-1])
            by_head = by_head * jnp.asarray(scale_H, kernel.dtype)[:, None, None]
            layer["kernel"] = by_head.reshape(kernel.shape)
    return scaled


def scale_gradients(sentence_loss: Callable[[Scales, Any], jax.Array], scales: Scales, sentences: Any) -> Scales:
    """Computes d loss / d scale of every head for each sentence: [B, H] by name.

    Args:
      sentence_loss: loss of one sentence in nats, given scales and the sentence.
      scales: where the gradient is computed.
      sentences: a tree of arrays [B, ...].
    """
    scales = jax.tree.map(jnp.asarray, scales)
    return jax.vmap(jax.grad(sentence_loss), in_axes=(None, 0))(scales, sentences)


class PruningStep(NamedTuple):
    """The loss after one more head is masked; the first step masks none."""

    head: Head | None
    loss: float
    scales: Scales


def prune(
    loss: Callable[[Scales], float],
    importance: Callable[[Scales], Scales],
    scales: Scales,
    shortlist: int,
    limit: int | None = None,
) -> Sequence[PruningStep]:
    """Masks heads one after the other; each time the one without which the loss is lowest.

    Each step evaluates the remaining heads of least importance. If the shortlist is at least as long as the number of
    remaining heads, it evaluates all of them and does not call `importance`.

    Args:
      loss: loss with the heads scaled.
      importance: [H] by name; cheaper than the loss without each head.
      scales: initial scales.
      shortlist: number of heads that each step evaluates.
      limit: number of heads to mask; default: all.
    """
    steps = [PruningStep(None, loss(scales), scales)]
    count = len(unmasked_heads(scales)) if limit is None else min(limit, len(unmasked_heads(scales)))
    for _ in range(count):
        remaining = unmasked_heads(scales)
        if len(remaining) > shortlist:
            scores = importance(scales)
            remaining = sorted(remaining, key=lambda head: float(scores[head[0]][head[1]]))[:shortlist]
        masked = [(head, mask_heads(scales, head)) for head in remaining]
        best = min((PruningStep(head, loss(s), s) for head, s in masked), key=lambda step: step.loss)
        scales = best.scales
        steps.append(best)
    return steps
