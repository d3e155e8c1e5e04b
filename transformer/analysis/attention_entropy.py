"""How sharply each attention looks: the entropy of its weights, and how large the largest is, as sums over queries."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.analysis.forced_decoding import kind_and_layer

_SATURATED = 0.95  # a softmax whose largest weight is beyond that passes next to no gradient


class LookSums(NamedTuple):
    """Sums over the queries of all heads; they add up over batches and devices."""

    entropy: jax.Array  # nats
    saturated: jax.Array  # queries whose largest weight is more than 0.95
    queries: jax.Array


def look_sums(
    attention: Mapping[str, jax.Array], source_mask_BS: jax.Array, target_mask_BT: jax.Array
) -> dict[str, LookSums]:
    """Sums for every attention of a batch; queries at padding do not count.

    Args:
      attention: weights by name, "encoder/0": weights_BHSS, "decoder/0" and "cross/0": weights_BHT...
      source_mask_BS: bool, True at tokens.
      target_mask_BT: likewise.
    """
    found = {}
    for name, weights in attention.items():
        mask = source_mask_BS if name.startswith("encoder/") else target_mask_BT
        real = jnp.broadcast_to(mask[:, None], weights.shape[:-1])
        entropy = jax.scipy.special.entr(weights.astype(jnp.float32)).sum(axis=-1)
        saturated = weights.max(axis=-1) > _SATURATED
        sums = (jnp.where(real, entropy, 0.0).sum(), (real & saturated).sum(), real.sum())
        found[name] = LookSums(*(each.astype(jnp.float32) for each in sums))
    return found


def means(batches: Iterable[Mapping[str, LookSums]]) -> dict[str, float]:
    """Mean entropy and share of saturated queries: "attention_entropy/cross/0", "attention_saturated/cross/0"."""
    total: dict[str, list[float]] = {}
    for batch in batches:
        for name, sums in batch.items():
            held = total.setdefault(name, [0.0, 0.0, 0.0])
            total[name] = [old + float(new) for old, new in zip(held, sums, strict=True)]
    found = {}
    for name in sorted(total, key=kind_and_layer):
        entropy, saturated, queries = total[name]
        found[f"attention_entropy/{name}"] = entropy / max(queries, 1)
        found[f"attention_saturated/{name}"] = saturated / max(queries, 1)
    return found
