"""The heads that decide between two target tokens: found on half of the pairs of sources, removed on the other half."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.studies.patched_run import Both, PatchedRun
from experiments.studies.study import format_share
from transformer.analysis import patching, tracing
from transformer.evaluation.confidence import ratio_of_means
from transformer.spec import PAD

_RANDOM_SETS = 100  # of heads
_RANDOM_CHOICES = 20  # of tokens, of each pair


def measure_circuit(patched: PatchedRun, changes: Both) -> dict[str, Any]:
    """Finds the circuit, and compares the model without it to the model without as many random other heads.

    A head belongs to the circuit if its effect by noising on the pairs 1, 3, 5, ... is at least half of the largest
    one. The other pairs are the test. The output of a removed head is its mean over the pairs of the first half.

    Args:
      patched: the run and at least two pairs; its model has several heads.
      changes: of each head [heads, pairs], from `PatchedRun.changes`.

    Returns:
      The heads; how many pairs are in each half; "right", the share of test pairs for whose two sources the model still
      prefers the right token; "difference", the share of the difference of both sources' scores that remains; and the
      same of the random sets, as median and the interval of 95 % of the sets.
    """
    find, test = (patched.select(np.arange(half, len(patched.pairs), 2)) for half in range(2))
    effects, _ = ratio_of_means(changes[0][:, ::2], find.scores[0] - find.scores[1])
    chosen = effects >= effects.max() / 2
    generator, rest = np.random.default_rng(0), np.flatnonzero(~chosen)
    sets = np.zeros((1 + _RANDOM_SETS, len(chosen)), bool)
    sets[0] = chosen
    for row in sets[1:]:
        row[generator.choice(rest, min(int(chosen.sum()), len(rest)), replace=False)] = True
    sets = jnp.asarray(sets.reshape(len(sets), -1, patched.heads))
    means = _means(find, patched.outputs)
    scores = test.both(lambda model, batch: patching.ablate_heads(model, batch, means, sets))
    heads = [name for name, inside in zip(patched.head_names(), chosen, strict=True) if inside]
    return {"heads": heads, "found_on": len(find.pairs), **_remaining(test, scores)}


def measure_words(patched: PatchedRun) -> dict[str, Any]:
    """Compares the model without the encoder's output at the changed words to that without as many random other tokens.

    The output is replaced by its mean over all tokens. Returns the values of `measure_circuit` without the heads.
    """
    names = patching.stream_groups(patched.names)["encoder"][-1]
    means = _means(patched, names)
    scores = patched.both(lambda model, batch: patching.ablate_positions(model, batch, means, _RANDOM_CHOICES))
    return _remaining(patched, scores)


def _means(patched: PatchedRun, names: Any) -> tracing.Activations:
    corpus = [(side.source_BS, _targets(batch)) for batch in patched.batches() for side in (batch, batch.swapped())]
    return tracing.mean_activations(patched.run.model, corpus, names)


def _targets(batch: patching.ContrastBatch) -> np.ndarray:
    """Returns the prefixes without BOS and with the right token, whose decoder inputs are the prefixes."""
    input_BT = np.asarray(batch.input_BT)
    targets = np.concatenate([input_BT[:, 1:], np.full_like(input_BT[:, :1], PAD)], axis=1)
    targets[np.arange(len(targets)), batch.position_B] = batch.right_B
    return targets


def _remaining(patched: PatchedRun, scores: Both) -> dict[str, Any]:
    """Compares the first row of scores [1 + sets, pairs] with the others."""
    own, other = scores
    right = ((own > 0) & (other < 0)).mean(axis=1)
    difference = (own - other).mean(axis=1) / (patched.scores[0] - patched.scores[1]).mean()
    return {
        "pairs": len(patched.pairs),
        "right": float(right[0]),
        "difference": float(difference[0]),
        "random_sets": len(own) - 1,
        "random_right": np.quantile(right[1:], [0.5, 0.025, 0.975]).tolist(),
        "random_difference": np.quantile(difference[1:], [0.5, 0.025, 0.975]).tolist(),
    }


def removal_text(removed: Mapping[str, Any], what: str, others: str) -> str:
    """Returns a paragraph about a removal.

    Args:
      removed: from `measure_circuit` or `measure_words`.
      what: what was removed.
      others: what the random sets consist of.
    """
    pairs = removed["pairs"]
    share = format_share(round(removed["right"] * pairs), pairs)
    middle, low, high = (100 * value for value in removed["random_right"])
    remaining, *random = (f"{value:.2f}" for value in (removed["difference"], *removed["random_difference"]))
    return (
        f"Without {what} both sources are right in {share} % of {pairs} pairs, and {remaining} of the "
        f"difference of their scores remains. Without {others}: median {middle:.1f} % ({low:.1f}–{high:.1f} in 95 % of "
        f"{removed['random_sets']} sets), and {random[0]} remains ({random[1]}–{random[2]}).\n"
    )
