"""What all search methods share: the result, the length limits, the length penalty and the reordering of beams."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from transformer.spec import EOS, PAD

LOWEST = -1e9  # stands for minus infinity: lower than every real score, and sums of it stay finite


class SearchResult(NamedTuple):
    """The outputs of a search, best first along N.

    N is `beam_size` for beam search and 1 for greedy search and sampling. An entry without a hypothesis is all `PAD`,
    with score and rank `LOWEST`. It occurs for a source row of padding, if there are fewer possible outputs than beams,
    and if the model's logits are NaN.
    """

    tokens_BNT: jax.Array  # int32, without BOS; a hypothesis ends with EOS, then PAD
    scores_BN: jax.Array  # float32, sum of the natural log-probabilities of the tokens, EOS included
    ranks_BN: jax.Array  # float32, the sort key: score / length penalty


def output_limits(
    source_BS: jax.Array, max_extra_length: int, steps: int | None = None, prefix_BT: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, int]:
    """Computes how long each output may be: "input length + 50", Section 6.1; the tokens of a prefix come in addition.

    Lengths count the tokens of a sentence without EOS. They depend neither on padding nor on other rows.

    Returns:
      limit_B: int32, the maximum number of tokens before EOS.
      nonempty_B: bool, False where a source row is all padding.
      max_steps: the maximum number of tokens of any output, EOS included, and at most `steps`: T of `SearchResult`.
    """
    max_length = source_BS.shape[1] + max_extra_length
    length_B = jnp.sum((source_BS != PAD) & (source_BS != EOS), axis=1, dtype=jnp.int32)
    limit_B, max_steps = jnp.minimum(length_B + max_extra_length, max_length - 1), min(max_length, steps or max_length)
    if prefix_BT is not None:
        limit_B += jnp.sum(prefix_BT != PAD, axis=1, dtype=jnp.int32)
        max_steps += prefix_BT.shape[1]
    return limit_B, jnp.any(source_BS != PAD, axis=1), max_steps


def forced_tokens(prefix_BT: jax.Array, step_B: jax.Array) -> jax.Array:
    """Returns the token of each prefix at a step, token_B; PAD after the end of the prefix."""
    return jnp.take_along_axis(prefix_BT, step_B[:, None], axis=1, mode="fill", fill_value=PAD)[:, 0]


def length_penalty(length: jax.Array, alpha: float) -> jax.Array:
    """((5 + length) / 6) ^ alpha, Eq. 14 of Wu et al. 2016; Section 6.1 uses alpha = 0.6. Length counts EOS."""
    return ((5.0 + length.astype(jnp.float32)) / 6.0) ** alpha


def exists(scores: jax.Array) -> jax.Array:
    """Returns whether these are scores of hypotheses: neither `LOWEST` nor NaN."""
    return scores > LOWEST / 2


def gather_beams(tree: Any, parent_BN: jax.Array) -> Any:
    """Reorders leaves [B, beams, ...] along their beams: entry n of the result is entry `parent_BN[:, n]` of the leaf.

    Batch and beams are merged into one axis first: copying complete rows is twice as fast that way on a CPU.
    """
    batch = parent_BN.shape[0]
    sentence_B1 = jnp.arange(batch, dtype=parent_BN.dtype)[:, None]

    def gather(leaf: jax.Array) -> jax.Array:
        rows = leaf.reshape(batch * leaf.shape[1], *leaf.shape[2:])
        return rows[sentence_B1 * leaf.shape[1] + parent_BN]

    return jax.tree.map(gather, tree)
