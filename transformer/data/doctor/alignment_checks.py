"""Where line i of the target stops being the translation of line i of the source.

Translations have something in common that unrelated sentences have not: length, end punctuation, and words that two
languages write alike (numbers, names, cognates). What such evidence is worth in a corpus is learnt from the corpus:
its frequency in pairs, against its frequency in lines that stand some way apart, gives a log-likelihood ratio for each
pair and, as well, for each pairing shifted by some lines. Where the sum of (shifted − straight) climbs, the pairing is
shifted; the foot of the climb is the line where it starts (Page 1954, the cumulative sum test).
"""

import dataclasses
import math

import numpy as np

from transformer.data.doctor.line_features import Side

_NEAR = 4  # lines that a pairing may be shifted by before anything else is tried
_NEAREST = tuple(shift for shift in range(-_NEAR, _NEAR + 1) if shift)
_BLURRED = 8  # lines by which an end of a passage may be missed
_FAR = 100  # lines that it may be shifted by at all, where the sides' sizes do not say more
_APART = (-23, -17, -13, -11, 11, 13, 17, 23)  # shifts at which lines are unrelated, but come from one document
_PIECE = 1 << 20  # pairs looked at together, which bounds the memory
_FEWEST = 100  # pairs; fewer say too little about what evidence is worth
_MANY = 1000  # pairs, among which evidence must show if there is any
_VARIED = 0.25  # standard deviation of a side's log2 of length, above which lengths are evidence
_SAMPLE, _STRETCH = 1 << 14, 1 << 10  # pairs that are enough to learn it from, and how many of them stand together

# Evidence on a pair as a number: bins of length ratio × bins of shared words × same end or not.
_LENGTHS, _SHARED = 17, 6
_KINDS = _LENGTHS * _SHARED * 2
_CAP = 3.0  # nats that one pair may count for: one odd pair must not look like many
_DOUBT = 0.02  # share of unrelated pairs that is taken for granted
_PRIOR = 0.1  # pairs of each kind that are taken for seen
# Nats that a pair says on whether it is one: 1 to 2 in clean corpora. Shuffled ones showed up to 65 / pairs by chance.
_INFORMATIVE, _BY_CHANCE, _PLAIN = 0.05, 80.0, 0.6
_CHANCE = 1e-8  # probability that a healthy corpus of this size has a passage that looks so bad


@dataclasses.dataclass(frozen=True)
class Passage:
    """Pairs from `start` up to `stop`, of which the translation of source line i is target line i + `shift`.

    `shift` is None where the lines are not each other's translations, shifted or not.
    """

    start: int
    stop: int
    shift: int | None


def passages(source: Side, target: Side) -> list[Passage]:
    """The passages where the pairing is lost, in order; those shifted by the same number of lines are joined."""
    found: list[Passage] = []
    size = min(len(source), len(target))
    difference = len(target) - len(source)
    for start in range(0, size, _PIECE):
        piece = slice(start, min(start + _PIECE, size))
        for passage in _Piece(source[piece], target[piece], difference).passages():
            here = _widened(passage.start + start, passage.stop + start, passage.shift, found, size)
            if found and found[-1].shift == here.shift and here.start - found[-1].stop <= _BLURRED:
                here = Passage(found.pop().start, here.stop, here.shift)
            found.append(here)
    return found


def _widened(start: int, stop: int, shift: int | None, before: list[Passage], size: int) -> Passage:
    """The passage, with the lines at its ends that have lost their translations and so could not show the shift."""
    last = before[-1] if before else None
    follows = last is not None and start - last.stop <= _BLURRED + abs(shift or 0)
    previous = (last.shift or 0) if last and follows else 0
    start = max(start - max(0, previous - (shift or 0)), last.stop if last else 0)
    return Passage(start, size if size - stop <= _BLURRED + abs(shift or 0) else stop, shift)


class _Piece:
    """As many source lines as target lines, and what they say about how they pair."""

    def __init__(self, source: Side, target: Side, difference: int) -> None:
        self._source, self._target = source, target
        self._size = len(source)
        # A side that lacks many lines in one place is shifted by as many, if it has no others too much.
        shifts = {*range(-_FAR, _FAR + 1), *range(difference - _NEAR, difference + _NEAR + 1)}
        self._shifts = sorted(shift for shift in shifts if abs(shift) < self._size // 2)
        self._worth = np.zeros(_KINDS)  # log-likelihood ratio of each kind of evidence
        self._straight = np.zeros(0)

    def passages(self) -> list[Passage]:
        """The passages where the pairing is lost, in order."""
        if self._size < _FEWEST:
            return []
        if not self._informative():
            # Sides that vary and yet have nothing in common are not each other's translations at all.
            varied = all(np.log2(side.characters + 3.0).std() > _VARIED for side in (self._source, self._target))
            return [Passage(0, self._size, None)] if self._size >= _MANY and varied else []
        found: list[Passage] = []
        left = [(0, self._size)]
        while left:
            start, stop = left.pop()
            passage = self._worst(start, stop)
            if passage:
                found.append(passage)
                left += [(start, passage.start), (passage.stop, stop)]
        return sorted(found, key=lambda passage: passage.start)

    def _informative(self) -> bool:
        """Learns what evidence is worth from the shift that has most of it; False if none has any."""
        unrelated = self._apart(0)
        related = max(map(self._counts, range(-_NEAR, _NEAR + 1)), key=lambda counts: _information(counts, unrelated))
        information = _information(related, unrelated)
        if information < _PLAIN:  # either there is little evidence, or it is to be found further away
            far = max(self._shifts, key=lambda shift: _information(self._counts(shift), unrelated))
            # Against what is around it: in a sorted corpus, all lines so far away are unlike these.
            if _information(self._counts(far), self._apart(far)) > information:
                related, unrelated = self._counts(far), self._apart(far)
                information = _information(related, unrelated)
        share = (1 - _DOUBT) * _normal(related) + _DOUBT * unrelated
        self._worth = np.clip(np.log(share / unrelated), -_CAP, _CAP)
        self._straight = self._score(0, 0, self._size)
        # The best of many shifts looks good by chance, the more so the fewer pairs there are.
        return information > _INFORMATIVE + _BY_CHANCE / self._size

    def _apart(self, shift: int) -> np.ndarray:
        """How frequent each kind of evidence is around a shift, where lines are unrelated."""
        return _normal(np.sum([self._counts(shift + apart) for apart in _APART], axis=0))

    def _counts(self, shift: int) -> np.ndarray:
        """How often each kind of evidence is in a sample of the pairs at this shift."""
        stretches = (slice(0, self._size),)
        if self._size > _SAMPLE:
            starts = np.linspace(0, self._size - _STRETCH, _SAMPLE // _STRETCH, dtype=int).tolist()
            stretches = tuple(slice(start, start + _STRETCH) for start in starts)
        found = (self._evidence(shift, stretch.start, stretch.stop) for stretch in stretches)
        return np.bincount(np.concatenate(list(found)), minlength=_KINDS)

    def _evidence(self, shift: int, start: int, stop: int) -> np.ndarray:
        """Kinds of evidence on the pairs of source line i and target line i + shift, as far as there are such."""
        low, high = max(start, -shift), max(start, -shift, min(stop, self._size - shift))
        source, target = self._source[low:high], self._target[low + shift : high + shift]
        ratio = np.log2((source.characters + 3.0) / (target.characters + 3.0))
        lengths = np.clip(np.rint(ratio * 6) + _LENGTHS // 2, 0, _LENGTHS - 1)
        bits = [np.bitwise_count(side.signature).astype(np.float64) for side in (source, target)]
        by_chance = bits[0] * bits[1] / 64
        shared = np.bitwise_count(source.signature & target.signature) - by_chance
        words = np.clip(np.rint(shared) + 2, 0, _SHARED - 1)
        return ((lengths * _SHARED + words) * 2 + (source.ending == target.ending)).astype(np.int64)

    def _score(self, shift: int, start: int, stop: int) -> np.ndarray:
        """Log-likelihood ratio of related against unrelated, for the pairs at this shift; 0 where there are none."""
        scores = np.zeros(stop - start)
        low, high = max(start, -shift), min(stop, self._size - shift)
        if low < high:
            scores[low - start : high - start] = self._worth[self._evidence(shift, low, high)]
        return scores

    def _worst(self, start: int, stop: int) -> Passage | None:
        """The passage among the pairs from `start` up to `stop` that is lost most surely, if one is."""
        if stop - start < 2:
            return None
        threshold = math.log(self._size) - math.log(_CHANCE)
        straight = self._straight[start:stop]
        # A shifted pairing must be better than the straight one, and better than none.
        floor = np.maximum(straight, 0)
        climbs = {shift: _climb(self._score(shift, start, stop) - floor) for shift in _NEAREST}
        shift, (gain, low, high) = max(climbs.items(), key=lambda item: item[1][0])
        if gain < threshold:
            shift, (gain, low, high) = None, _climb(-straight)
            if gain < threshold:
                return None
            far = self._best(start + low, start + high)
            climb = _climb(self._score(far, start, stop) - floor)
            if climb[0] >= threshold:
                shift, (gain, low, high) = far, climb
        return Passage(start + low, start + high, shift)

    def _best(self, start: int, stop: int) -> int:
        """The shift that pairs these lines best."""
        stop = min(stop, start + _SAMPLE)
        return max(self._shifts, key=lambda shift: float(self._score(shift, start, stop).sum()))


def _information(counts: np.ndarray, unrelated: np.ndarray) -> float:
    """Nats by which a pair differs from an unrelated one, less what chance alone gives."""
    related = _normal(counts)
    chance = np.count_nonzero(counts) / max(2 * counts.sum(), 1)
    return float((related * np.log(related / unrelated)).sum() - chance)


def _normal(counts: np.ndarray) -> np.ndarray:
    smooth = counts + _PRIOR
    return smooth / smooth.sum()


def _climb(steps: np.ndarray) -> tuple[float, int, int]:
    """Gain, start and stop of the stretch with the greatest sum."""
    height = np.concatenate([[0.0], np.cumsum(steps)])
    lowest = np.minimum.accumulate(height)
    stop = int(np.argmax(height - lowest))
    start = int(np.flatnonzero(height[: stop + 1] == lowest[stop])[-1])
    return float(height[stop] - lowest[stop]), start, stop
