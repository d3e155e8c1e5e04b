"""A run and pairs of sources, whose scores functions of `analysis.patching` change."""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from experiments.studies.contrasts import SourcePair, contrast_batches
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import head_name, traced_attention
from transformer.analysis import patching, tracing
from transformer.evaluation.confidence import ratio_of_means

DIRECTIONS = ("noising", "denoising")
_ROWS = 40  # most pairs in a batch

Both = tuple[np.ndarray, np.ndarray]  # of runs on the first sources and on the other sources of pairs
PairFunction = Callable[[Any, patching.ContrastBatch], Any]  # pure, of a model, to arrays [..., B]


class PatchedRun:
    """A run and pairs of sources, at first all that are given.

    The score of a source is log P(right) - log P(wrong) in nats, where "right" is the right token of the first source.

    Attributes:
      scores: of both sources of each pair.
      right: of each pair, whether the run prefers the right token for both sources.
      names: of all activations.
      attentions: those with heads that patches can replace, in the order of computation.
      outputs: the activations with an axis of heads, one for each attention: what the heads add to the output, or the
        context of RNNsearch's only head.
      heads: number of heads of each.
      patch_heads: the scores with each head replaced, [attentions, heads, B].
    """

    def __init__(self, run: InspectedRun, pairs: Sequence[SourcePair]) -> None:
        self.run, self.pairs = run, list(pairs)
        ids = jax.ShapeDtypeStruct((1, 1), np.int32)
        self.names = list(jax.eval_shape(lambda ids: tracing.activations(run.model, ids, ids), ids))
        part = "heads" if any(name.endswith("/heads") for name in self.names) else "context"
        self.attentions = [name.removesuffix(f"/{part}") for name in self.names if name.endswith(f"/{part}")]
        # The encoder's, then those of each decoder layer.
        self.attentions.sort(key=lambda name: (name[0] != "e", int(name.split("/")[1]), "cross" in name))
        self.outputs = [f"{name}/{part}" for name in self.attentions]
        self.heads = run.spec.model.heads
        self.patch_heads: PairFunction = functools.partial(patching.patch_heads, names=self.outputs, heads=self.heads)
        self._compiled: dict[PairFunction, Callable[..., Any]] = {}
        self._score()

    def _score(self) -> None:
        self.scores: Both = self.both(patching.score)
        self.right = (self.scores[0] > 0) & (self.scores[1] < 0)

    def at(self, run: InspectedRun) -> "PatchedRun":
        """Returns the same pairs with another checkpoint of the run; both share the compiled functions."""
        other = copy.copy(self)
        other.run = run
        other._score()
        return other

    def select(self, chosen: np.ndarray) -> "PatchedRun":
        """Returns the run with some of the pairs.

        Args:
          chosen: bool or indices of pairs.
        """
        part, indices = copy.copy(self), np.arange(len(self.pairs))[chosen]
        part.pairs, part.right = [self.pairs[index] for index in indices], self.right[indices]
        part.scores = self.scores[0][indices], self.scores[1][indices]
        return part

    def batches(self) -> list[patching.ContrastBatch]:
        """Returns the pairs in batches of one shape, the last one filled up."""
        count = len(self.pairs)
        return contrast_batches(self.pairs, math.ceil(count / math.ceil(count / _ROWS)))

    def both(self, function: PairFunction) -> Any:
        """Returns the results of a function for both sources of all pairs: two arrays [..., pairs], or two trees."""
        if function not in self._compiled:
            model = self.run.system.model
            self._compiled[function] = self.run.jit(lambda params, batch: function(model(params), batch))
        compiled = self._compiled[function]
        results = [[compiled(self.run.params, side) for side in (batch, batch.swapped())] for batch in self.batches()]

        def join(*arrays: jax.Array) -> np.ndarray:
            return np.concatenate(list(map(np.asarray, arrays)), axis=-1)[..., : len(self.pairs)]

        return tuple(jax.tree.map(join, *side) for side in zip(*results, strict=True))

    def changes(self, patched: Both) -> Both:
        """Returns by how much patches lower the score of the first source, and by how much they raise the other's."""
        return self.scores[0] - patched[0], patched[1] - self.scores[1]

    def effects(self, changes: Both) -> list[dict[str, list[float | None]]]:
        """Returns the share that changes have in the difference of both sources' scores, with its interval.

        A single pair has no interval, and a role that no pair has no share: they are None.

        Args:
          changes: [sites, pairs] in both directions.
        """
        ratios = [ratio_of_means(change, self.scores[0] - self.scores[1]) for change in changes]
        sites = zip(*(zip(*ratio, strict=True) for ratio in ratios), strict=True)
        return [{name: list(map(_finite, ends)) for name, ends in zip(DIRECTIONS, both, strict=True)} for both in sites]

    def head_names(self) -> list[str]:
        """Returns the names of all heads as other studies write them, such as "cross 1.2"."""
        return [head_name(traced_attention(name), head) for name in self.attentions for head in range(self.heads)]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def flat(both: Both) -> Both:
    """Returns arrays [sites, pairs] of arrays with several axes of sites."""
    return both[0].reshape(-1, both[0].shape[-1]), both[1].reshape(-1, both[1].shape[-1])
