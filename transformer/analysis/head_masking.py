"""Heads taken out of a model by its parameters alone, and what that does.

Concat(head_1, ..., head_h) W^O is a sum over heads of head_i times its own rows of W^O. So a head is scaled by scaling
these rows, and is gone where they are zero; nothing in the model needs to know. The one head of a recurrent decoder,
its context c_i, is multiplied by C on the way to the gates and by C_o on the way to the output: their rows are its own.
The gradient of the loss with respect to that scale, at one, is the head's importance by Michel et al. 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, Any]
Scales = dict[str, Any]  # of each attention, by name, float32 [H]: 1 as trained, 0 taken out
Head = tuple[str, int]  # ("cross/1", 0)

_STACKS = {"self_attention": "{stack}", "cross_attention": "cross"}
_PARTS = {"to_query", "to_key", "to_value", "to_output"}
_CONTEXT = ("context_to_gates", "context_to_output")  # of `models/rnnsearch.py`
Path = tuple[str, ...]


def _readers(params: Params) -> dict[str, list[Path]]:
    """The linear layers that read the heads of each attention, by the names of `reading.read`."""
    found: dict[str, list[Path]] = {"cross/0": [(name,) for name in _CONTEXT]} if params.keys() >= set(_CONTEXT) else {}

    def visit(tree: Params, path: Path) -> None:
        if path and path[-1] in _STACKS and tree.keys() >= _PARTS:
            stack, layer, kind = path
            found[f"{_STACKS[kind].format(stack=stack)}/{layer}"] = [(*path, "to_output")]
            return
        for key, value in tree.items():
            if isinstance(value, dict):
                visit(value, (*path, key))

    visit(params, ())
    return found


def whole(params: Params, heads: Mapping[str, int]) -> Scales:
    """Every head as it was trained; empty for a model without attention.

    Args:
      params: nested, with str keys.
      heads: how many each attention has; `reading.head_counts`.
    """
    readers = _readers(params)
    return {name: np.ones(count, np.float32) for name, count in heads.items() if name in readers}


def without(scales: Scales, *heads: Head) -> Scales:
    """The same with some heads taken out."""
    scales = {name: np.array(each) for name, each in scales.items()}
    for name, head in heads:
        scales[name][head] = 0
    return scales


def every(scales: Scales) -> list[Head]:
    """All heads that are not taken out."""
    return [(name, int(head)) for name, each in scales.items() for head in np.flatnonzero(each)]


def scaled(params: Params, scales: Scales) -> Params:
    """Parameters with the output of every head multiplied by its scale; free to be differentiated and compiled."""
    readers = _readers(params)
    changed = dict(params)
    for name, scale_H in scales.items():
        for path in readers[name]:
            place = changed
            for key in path:
                place[key] = dict(place[key])
                place = place[key]
            kernel = place["kernel"]
            by_head = kernel.reshape(len(scale_H), -1, kernel.shape[-1])
            by_head = by_head * jnp.asarray(scale_H, kernel.dtype)[:, None, None]
            place["kernel"] = by_head.reshape(kernel.shape)
    return changed


Loss = Callable[[Scales], jax.Array]  # nll_B in nats of each sentence, with heads scaled so


def gradients(loss_of_one: Callable[[Scales, Any], jax.Array], scales: Scales, sentences: Any) -> Scales:
    """d loss / d scale of every head, sentence by sentence: [B, H] by name.

    Args:
      loss_of_one: of scales and one sentence, nats.
      scales: where the gradient is taken.
      sentences: a tree of arrays [B, ...].
    """
    scales = jax.tree.map(jnp.asarray, scales)
    return jax.vmap(jax.grad(loss_of_one), in_axes=(None, 0))(scales, sentences)


class Pruned(NamedTuple):
    """The loss after one more head is gone; the first has none gone."""

    head: Head | None
    loss: float
    scales: Scales


def prune(
    loss: Callable[[Scales], float],
    importance: Callable[[Scales], Scales],
    scales: Scales,
    shortlist: int,
    limit: int | None = None,
) -> Sequence[Pruned]:
    """Takes out, one after the other, the head without which the loss is lowest.

    Of the heads that are left, those of least importance are tried; with a shortlist as long as there are heads, all of
    them, and importance is not asked for.

    Args:
      loss: with heads scaled so.
      importance: [H] by name; what is quicker to find out than the loss without each head.
      scales: where to begin.
      shortlist: how many heads are tried at each step.
      limit: how many heads to take out; None: all.
    """
    curve = [Pruned(None, loss(scales), scales)]
    count = len(every(scales)) if limit is None else min(limit, len(every(scales)))
    for _ in range(count):
        left = every(scales)
        if len(left) > shortlist:
            found = importance(scales)
            left = sorted(left, key=lambda head: float(found[head[0]][head[1]]))[:shortlist]
        tried = [Pruned(head, loss(without(scales, head)), without(scales, head)) for head in left]
        best = min(tried, key=lambda each: each.loss)
        scales = best.scales
        curve.append(best)
    return curve
