"""Explains single tokens of a translation: why a model prefers a token to another one at its position.

The score of a token is its log-odds over the other one. Its explanation holds what each token of the source and of the
prefix contributes to the score, by several methods; what each layer of the decoder would predict; and what each part of
the decoder adds to the score directly.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.analysis import attribution, lens
from transformer.analysis.patching import ContrastBatch, log_odds
from transformer.analysis.tracing import activations
from transformer.models.interface import Seq2Seq
from transformer.spec import BOS, EOS, PAD

_TOP = 5  # most probable tokens of each layer
LENS, DIRECT_EFFECTS = "logit lens", "direct effects"

Measured = dict[str, Any]  # arrays whose first axis is that of rows, and named tuples of them, by name
Measure = Callable[[Seq2Seq, ContrastBatch], Measured]


class LensPoint(NamedTuple):
    """What one point of the decoder's residual stream predicts at the position."""

    probability_B: jax.Array  # of the explained token
    top_tokens: jax.Array  # [B, top], most probable first
    top_probability: jax.Array  # [B, top]


def _attribute(method: str) -> Measure:
    return lambda model, batch: attribution.METHODS[method](model, batch, log_odds)._asdict()


def _read_layers(model: Seq2Seq, batch: ContrastBatch) -> Measured:
    logits = lens.logit_lens(model, batch.source_BS, batch.input_BT)
    logits = jnp.take_along_axis(logits, batch.position_B[None, :, None, None], axis=2)[:, :, 0]
    probability = jax.nn.softmax(logits)
    chosen = jnp.take_along_axis(probability, batch.right_B[None, :, None], axis=2)[..., 0]
    top_probability, top_tokens = jax.lax.top_k(probability, min(_TOP, logits.shape[-1]))
    points = zip(lens.decoder_streams(_names(model)), chosen, top_tokens, top_probability, strict=True)
    return {name: LensPoint(*arrays) for name, *arrays in points}


# What an explanation consists of. Each measure is pure, to be called inside `jax.jit`; a row's result depends on no
# other row. An attribution has the arrays "source_BS" and "prefix_BT".
MEASURES: dict[str, Measure] = {
    **{method: _attribute(method) for method in attribution.METHODS},
    LENS: _read_layers,
    DIRECT_EFFECTS: lens.direct_effects,
}


def measures_of(model: Any) -> list[str]:
    """Returns the names of the measures that a model has; an ensemble has none.

    A model without attention lacks those of attention; one without a residual stream lacks the lens and direct effects.
    """
    if not isinstance(model, nnx.Module):
        return []
    names = _names(model)
    lacking = () if any(name.endswith("/weights") for name in names) else attribution.ATTENTION_METHODS
    lacking = lacking if lens.decoder_streams(names) else (*lacking, LENS, DIRECT_EFFECTS)
    return [name for name in MEASURES if name not in lacking]


def _names(model: Any) -> list[str]:
    ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return list(jax.eval_shape(lambda source, target: activations(model, source, target), ids, ids))


def contrast_rows(
    source: Sequence[int], target: Sequence[int], positions: Sequence[int], others: Sequence[int], width: int
) -> ContrastBatch:
    """Returns a row for each position of a target.

    Args:
      source: ids without EOS.
      target: ids with EOS.
      positions: numbers of the target tokens to explain.
      others: for each position, the token that the target's is compared with.
      width: number of positions, with padding, of source and target.
    """
    source_BS, input_BT = (np.full((len(positions), width), PAD, np.int32) for _ in range(2))
    source_BS[:, : len(source) + 1] = [*source, EOS]
    input_BT[:, : len(target)] = [BOS, *target[:-1]]
    right_B = [target[position] for position in positions]
    rows: Any = (np.asarray(ids, np.int32) for ids in (positions, right_B, others))
    return ContrastBatch(*map(jnp.asarray, (source_BS, source_BS, input_BT, *rows)))


def best_alternative(token: int, top_tokens: Sequence[int]) -> int:
    """Returns the first of the most probable tokens that is not the given one."""
    return next(int(other) for other in top_tokens if other != token)


def row_of(measured: Mapping[str, Measured], row: int) -> dict[str, Measured]:
    """Returns one row of each measure's result, as NumPy arrays and numbers."""
    return jax.tree.map(lambda array: np.asarray(array)[row], dict(measured))
