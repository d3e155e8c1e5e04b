"""Entropy of attention weights, and how often the largest weight saturates, as sums over queries."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.analysis.forced_decoding import kind_and_layer

_SATURATED = 0.95  # a softmax whose largest weight exceeds this has almost no gradient


class AttentionSums(NamedTuple):
    """Sums over the queries of all heads; they add up over batches and devices."""

    entropy: jax.Array  # nats
    saturated: jax.Array  # number of queries whose largest weight exceeds 0.95
    queries: jax.Array


def attention_sums(
    attention: Mapping[str, jax.Array], source_mask_BS: jax.Array, target_mask_BT: jax.Array
) -> dict[str, AttentionSums]:
    """Computes the sums of every attention of a batch; queries at padding do not count.

    Args:
      attention: weights by name, "encoder/0": weights_BHSS, "decoder/0" and "cross/0": weights_BHT...
      source_mask_BS: bool, True at tokens.
      target_mask_BT: bool, True at tokens.
    """
    sums = {}
    for name, weights in attention.items():
        mask = source_mask_BS if name.startswith("encoder/") else target_mask_BT
        is_token = jnp.broadcast_to(mask[:, None], weights.shape[:-1])
        entropy = jax.scipy.special.entr(weights.astype(jnp.float32)).sum(axis=-1)
        saturated = weights.max(axis=-1) > _SATURATED
        totals = (jnp.where(is_token, entropy, 0.0).sum(), (is_token & saturated).sum(), is_token.sum())
        sums[name] = AttentionSums(*(total.astype(jnp.float32) for total in totals))
    return sums


def means(batches: Iterable[Mapping[str, AttentionSums]]) -> dict[str, float]:
    """Mean entropy and share of saturated queries: "attention_entropy/cross/0", "attention_saturated/cross/0"."""
    totals: dict[str, list[float]] = {}
    for batch in batches:
        for name, sums in batch.items():
            previous = totals.setdefault(name, [0.0, 0.0, 0.0])
            totals[name] = [old + float(new) for old, new in zip(previous, sums, strict=True)]
    values = {}
    for name in sorted(totals, key=kind_and_layer):
        entropy, saturated, queries = totals[name]
        values[f"attention_entropy/{name}"] = entropy / max(queries, 1)
        values[f"attention_saturated/{name}"] = saturated / max(queries, 1)
    return values
