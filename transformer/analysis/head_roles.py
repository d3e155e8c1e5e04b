"""Roles of heads: how much weight each gives to the previous token, to separators, to the rarest token, and so on.

After Voita et al. 2019, *Analyzing Multi-Head Self-Attention*: positional, syntactic and rare-word heads.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

MIN_LIFT = 0.25  # a head with a lower lift in every role has no role


class RoleStatistics:
    """Sums of the weight that heads give to tokens of each role, and of the weight that uniform attention would give.

    Args:
      counts: frequency of each token id in some text; an id that is missing counts as rarest.
      separators: ids of tokens without content: BOS, EOS, punctuation.
    """

    def __init__(self, counts: Mapping[int, int], separators: Collection[int]) -> None:
        self._counts, self._separators = counts, frozenset(separators)
        # By attention and role: the weight of each head, [H], and (uniform weight, number of rows).
        self._sums: dict[str, dict[str, list[np.ndarray]]] = {}

    def add(self, name: str, weights: np.ndarray, columns: Sequence[int]) -> None:
        """Adds one sentence.

        Args:
          name: of the attention, "encoder/0".
          weights: [H, rows, columns].
          columns: ids of the tokens of the columns.
        """
        rows, width = weights.shape[1:]
        visible = np.tri(rows, width) if name.startswith("decoder") else np.ones((rows, width))
        is_separator = np.array([token in self._separators for token in columns], bool)
        positions = {"separator": np.broadcast_to(is_separator, (rows, width)) * visible}
        if not is_separator.all():
            words = np.flatnonzero(~is_separator).tolist()
            rarest = min(words, key=lambda column: self._counts.get(columns[column], 0))
            positions["rare"] = np.broadcast_to(np.eye(width)[rarest], (rows, width)) * visible
        if name.startswith("encoder"):
            shifts = {"same": 0, "previous": -1, "next": 1}
        else:
            # A row of the decoder predicts a token: column t holds the last token that row t has read.
            shifts = {"last-read": 0, "previous": -1} if name.startswith("decoder") else {}
        positions |= {role: np.eye(rows, width, shift) for role, shift in shifts.items()}
        for role, marked in positions.items():
            self.add_positions(name, role, weights, marked, visible)

    def add_positions(
        self, name: str, role: str, weights: np.ndarray, marked: np.ndarray, visible: np.ndarray | None = None
    ) -> None:
        """Adds the weight on marked positions, [rows, columns] of 0 and 1; rows without a mark do not count."""
        counted = marked.any(axis=1)
        if not counted.any():
            return
        visible = np.ones(marked.shape) if visible is None else visible
        uniform = (marked.sum(axis=1) / visible.sum(axis=1))[counted].sum()
        weight_H = (weights * marked).sum(axis=2)[:, counted].sum(axis=1)
        sums = self._sums.setdefault(name, {}).setdefault(role, [np.zeros(len(weights)), np.zeros(2)])
        sums[0] += weight_H
        sums[1] += (uniform, counted.sum())

    def mean_weights(self) -> dict[str, dict[str, tuple[np.ndarray, float]]]:
        """Returns, by attention and role, the mean weight of every head, [H], and that of uniform attention."""
        return {
            name: {role: (sum_H / rows, float(uniform / rows)) for role, (sum_H, (uniform, rows)) in roles.items()}
            for name, roles in self._sums.items()
        }

    def classify(self) -> dict[str, list[tuple[str, float]]]:
        """Returns the role of highest lift of each head, and the lift.

        Lift is (weight - uniform) / (1 - uniform). The role is "" if the lift is below `MIN_LIFT`.
        """
        classes = {}
        for name, roles in self.mean_weights().items():
            lifts = {role: (weight_H - uniform) / max(1 - uniform, 1e-9) for role, (weight_H, uniform) in roles.items()}
            heads = len(next(iter(lifts.values())))
            best = [max((float(lift_H[head]), role) for role, lift_H in lifts.items()) for head in range(heads)]
            classes[name] = [(role if lift >= MIN_LIFT else "", lift) for lift, role in best]
        return classes
