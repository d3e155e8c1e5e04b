"""What heads do: how much weight each gives to the previous token, to separators, to the rarest token, and so on.

After Voita et al. 2019, *Analyzing Multi-Head Self-Attention*: positional, syntactic and rare-word heads.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

LEAST = 0.25  # lift below which a head is in no class


class Roles:
    """Sums of the weight that heads give to tokens of each role, and of what an even share would give them.

    Args:
      counts: how often each token id stands in some text; what is not there is rarest.
      separators: ids of tokens that only divide: BOS, EOS, punctuation.
    """

    def __init__(self, counts: Mapping[int, int], separators: Collection[int]) -> None:
        self._counts, self._separators = counts, frozenset(separators)
        self._sums: dict[str, dict[str, list[np.ndarray]]] = {}

    def add(self, name: str, weights: np.ndarray, columns: Sequence[int]) -> None:
        """Adds one sentence.

        Args:
          name: of the attention, "encoder/0".
          weights: [H, rows, columns].
          columns: ids of the tokens that are looked at.
        """
        rows, width = weights.shape[1:]
        visible = np.tri(rows, width) if name.startswith("decoder") else np.ones((rows, width))
        is_separator = np.array([token in self._separators for token in columns], float)
        places = {"separator": np.broadcast_to(is_separator, (rows, width)) * visible}
        if not is_separator.all():
            rare = min(
                (self._counts.get(token, 0), place) for place, token in enumerate(columns) if not is_separator[place]
            )
            places["rare"] = np.broadcast_to(np.eye(width)[rare[1]], (rows, width)) * visible
        if name.startswith("encoder"):
            shifts = {"same": 0, "previous": -1, "next": 1}
        else:
            # A row of the decoder predicts a token: the last one that is read stands in the column of its own number.
            shifts = {"last-read": 0, "previous": -1} if name.startswith("decoder") else {}
        places |= {role: np.eye(rows, width, shift) for role, shift in shifts.items()}
        for role, place in places.items():
            self.mark(name, role, weights, place, visible)

    def mark(
        self, name: str, role: str, weights: np.ndarray, places: np.ndarray, visible: np.ndarray | None = None
    ) -> None:
        """Adds the weight on given places, [rows, columns] of 0 and 1; rows without any do not count."""
        counted = places.any(axis=1)
        if not counted.any():
            return
        visible = np.ones(places.shape) if visible is None else visible
        even = (places.sum(axis=1) / visible.sum(axis=1))[counted].sum()
        held = (weights * places).sum(axis=2)[:, counted].sum(axis=1)
        sums = self._sums.setdefault(name, {}).setdefault(role, [np.zeros(len(weights)), np.zeros(2)])
        sums[0] += held
        sums[1] += (even, counted.sum())

    def scores(self) -> dict[str, dict[str, tuple[np.ndarray, float]]]:
        """Of each attention and role, the mean weight of every head, [H], and that of an even share."""
        return {
            name: {role: (held / rows, float(even / rows)) for role, (held, (even, rows)) in roles.items()}
            for name, roles in self._sums.items()
        }

    def classes(self) -> dict[str, list[tuple[str, float]]]:
        """Of each head the role in which it stands out most, and its lift.

        Lift is how much of what an even share leaves over goes there: (weight - even) / (1 - even). "" below `LEAST`.
        """
        found = {}
        for name, roles in self.scores().items():
            lifts = {role: (weight - even) / max(1 - even, 1e-9) for role, (weight, even) in roles.items()}
            heads = len(next(iter(lifts.values())))
            best = [max((float(lift[head]), role) for role, lift in lifts.items()) for head in range(heads)]
            found[name] = [(role if lift >= LEAST else "", lift) for lift, role in best]
        return found
