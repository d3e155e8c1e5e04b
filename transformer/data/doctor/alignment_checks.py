"""Finds the passages in which line i of the target is not the translation of line i of the source.

Translations share features that unrelated sentences do not: length, end punctuation, and words with equal spelling
(numbers, names, cognates). The log-likelihood ratio of such evidence is estimated from the corpus: its frequency
in pairs against its frequency in lines some distance apart. It scores each pair, and each pair of an alignment that is
shifted by some lines. Where the cumulative sum of (shifted − unshifted) scores increases, the alignment is shifted; the
start of the increase is the first shifted line (Page 1954, the cumulative sum test).
"""

import dataclasses
import math

import numpy as np

from transformer.data.doctor.line_features import SideFeatures

_MAX_NEAR = 4  # lines; smaller shifts are tried first
_NEAR_SHIFTS = tuple(shift for shift in range(-_MAX_NEAR, _MAX_NEAR + 1) if shift)
_BOUNDARY_ERROR = 8  # lines by which the estimate of a passage's end may be wrong
_MAX_SHIFT = 100  # lines, unless the sizes of the sides differ by more
_UNRELATED_SHIFTS = (-23, -17, -13, -11, 11, 13, 17, 23)  # lines at these shifts are unrelated, but of one document
_CHUNK = 1 << 20  # pairs analysed at a time, which bounds the memory
_MIN_PAIRS = 100  # fewer pairs are too few to estimate the evidence
_MIN_UNRELATED_PAIRS = 1000  # pairs without evidence that are enough to call the sides unrelated
_MIN_LENGTH_DEVIATION = 0.25  # standard deviation of log2(length) of a side from which lengths are evidence
_SAMPLED, _STRETCH = 1 << 14, 1 << 10  # pairs that are sampled for the estimate, in stretches of this length

# The evidence of a pair is one number: bins of the length ratio × bins of shared words × same last character or not.
_LENGTH_BINS, _WORD_BINS = 17, 6
_EVIDENCE_BINS = _LENGTH_BINS * _WORD_BINS * 2
_MAX_LOG_RATIO = 3.0  # nats; one unusual pair must not count like many
_UNRELATED_SHARE = 0.02  # share of unrelated pairs that is assumed in every corpus
_PSEUDOCOUNT = 0.1  # pairs added to each bin
# Nats of information in a pair: 1 to 2 in clean corpora. Shuffled corpora had up to 65 / pairs by chance.
_MIN_INFORMATION, _CHANCE_INFORMATION, _CLEAR_INFORMATION = 0.05, 80.0, 0.6
_FALSE_ALARM = 1e-8  # probability of a finding in an aligned corpus


@dataclasses.dataclass(frozen=True)
class MisalignedPassage:
    """The pairs from `start` up to `stop`: the translation of source line i is target line i + `shift`.

    `shift` is None if the lines are not translations of each other at any shift.
    """

    start: int
    stop: int
    shift: int | None


def misaligned_passages(source: SideFeatures, target: SideFeatures) -> list[MisalignedPassage]:
    """Returns the misaligned passages in order; adjacent passages with the same shift are joined."""
    passages: list[MisalignedPassage] = []
    size = min(len(source), len(target))
    difference = len(target) - len(source)
    for start in range(0, size, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, size))
        for part in _AlignmentChunk(source[chunk], target[chunk], difference).passages():
            previous = passages[-1] if passages else None
            passage = _extended(part.start + start, part.stop + start, part.shift, previous, size)
            if previous and previous.shift == passage.shift and passage.start - previous.stop <= _BOUNDARY_ERROR:
                passages.pop()
                passage = dataclasses.replace(passage, start=previous.start)
            passages.append(passage)
    return passages


def _extended(
    start: int, stop: int, shift: int | None, previous: MisalignedPassage | None, size: int
) -> MisalignedPassage:
    """Returns the passage with the lines at its ends that have no translation and therefore no evidence of a shift."""
    is_adjacent = previous is not None and start - previous.stop <= _BOUNDARY_ERROR + abs(shift or 0)
    previous_shift = (previous.shift or 0) if previous and is_adjacent else 0
    start = max(start - max(0, previous_shift - (shift or 0)), previous.stop if previous else 0)
    return MisalignedPassage(start, size if size - stop <= _BOUNDARY_ERROR + abs(shift or 0) else stop, shift)


class _AlignmentChunk:
    """The alignment of equally many source and target lines."""

    def __init__(self, source: SideFeatures, target: SideFeatures, difference: int) -> None:
        self._source, self._target = source, target
        self._size = len(source)
        # A side that lacks many lines in one place, and has no additional ones, is shifted by the size difference.
        shifts = {*range(-_MAX_SHIFT, _MAX_SHIFT + 1), *range(difference - _MAX_NEAR, difference + _MAX_NEAR + 1)}
        self._shifts = sorted(shift for shift in shifts if abs(shift) < self._size // 2)
        self._log_ratios = np.zeros(_EVIDENCE_BINS)  # log-likelihood ratio of each bin of evidence
        self._unshifted_scores = np.zeros(0)

    def passages(self) -> list[MisalignedPassage]:
        """Returns the misaligned passages in order."""
        if self._size < _MIN_PAIRS:
            return []
        if not self._estimate_evidence():
            # Sides with varied lengths and without any evidence are not translations of each other.
            deviations = [np.log2(side.num_characters + 3.0).std() for side in (self._source, self._target)]
            is_unrelated = self._size >= _MIN_UNRELATED_PAIRS and min(deviations) > _MIN_LENGTH_DEVIATION
            return [MisalignedPassage(0, self._size, None)] if is_unrelated else []
        passages: list[MisalignedPassage] = []
        pending = [(0, self._size)]
        while pending:
            start, stop = pending.pop()
            passage = self._most_certain_passage(start, stop)
            if passage:
                passages.append(passage)
                pending += [(start, passage.start), (passage.stop, stop)]
        return sorted(passages, key=lambda passage: passage.start)

    def _estimate_evidence(self) -> bool:
        """Estimates the log-likelihood ratios at the shift with the most information; False if no shift has any."""
        unrelated = self._unrelated_frequencies(0)
        near = (self._counts(shift) for shift in range(-_MAX_NEAR, _MAX_NEAR + 1))
        related = max(near, key=lambda counts: _information(counts, unrelated))
        information = _information(related, unrelated)
        if information < _CLEAR_INFORMATION:  # there is little evidence, or it is at a larger shift
            far = max(self._shifts, key=lambda shift: _information(self._counts(shift), unrelated))
            # Compared with the shifts around it: in a sorted corpus, all lines at such a distance are different.
            if _information(self._counts(far), self._unrelated_frequencies(far)) > information:
                related, unrelated = self._counts(far), self._unrelated_frequencies(far)
                information = _information(related, unrelated)
        mixture = (1 - _UNRELATED_SHARE) * _frequencies(related) + _UNRELATED_SHARE * unrelated
        self._log_ratios = np.clip(np.log(mixture / unrelated), -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
        self._unshifted_scores = self._scores(0, 0, self._size)
        # The best of many shifts has some information by chance, and more with fewer pairs.
        return information > _MIN_INFORMATION + _CHANCE_INFORMATION / self._size

    def _unrelated_frequencies(self, shift: int) -> np.ndarray:
        """Returns the frequency of each bin of evidence around a shift, where lines are unrelated."""
        return _frequencies(np.sum([self._counts(shift + offset) for offset in _UNRELATED_SHIFTS], axis=0))

    def _counts(self, shift: int) -> np.ndarray:
        """Returns the count of each bin of evidence in a sample of the pairs at this shift."""
        stretches = (slice(0, self._size),)
        if self._size > _SAMPLED:
            starts = np.linspace(0, self._size - _STRETCH, _SAMPLED // _STRETCH, dtype=int).tolist()
            stretches = tuple(slice(start, start + _STRETCH) for start in starts)
        evidence = [self._evidence(shift, stretch.start, stretch.stop) for stretch in stretches]
        return np.bincount(np.concatenate(evidence), minlength=_EVIDENCE_BINS)

    def _evidence(self, shift: int, start: int, stop: int) -> np.ndarray:
        """Returns the bin of evidence of each pair of source line i and target line i + shift, if both exist."""
        low, high = max(start, -shift), max(start, -shift, min(stop, self._size - shift))
        source, target = self._source[low:high], self._target[low + shift : high + shift]
        ratio = np.log2((source.num_characters + 3.0) / (target.num_characters + 3.0))
        length_bins = np.clip(np.rint(ratio * 6) + _LENGTH_BINS // 2, 0, _LENGTH_BINS - 1)
        num_bits = [np.bitwise_count(side.cognates).astype(np.float64) for side in (source, target)]
        by_chance = num_bits[0] * num_bits[1] / 64
        shared = np.bitwise_count(source.cognates & target.cognates) - by_chance
        word_bins = np.clip(np.rint(shared) + 2, 0, _WORD_BINS - 1)
        same_end = source.last_characters == target.last_characters
        return ((length_bins * _WORD_BINS + word_bins) * 2 + same_end).astype(np.int64)

    def _scores(self, shift: int, start: int, stop: int) -> np.ndarray:
        """Returns the log-likelihood ratio of related to unrelated for each pair at this shift; 0 without a pair."""
        scores = np.zeros(stop - start)
        low, high = max(start, -shift), min(stop, self._size - shift)
        if low < high:
            scores[low - start : high - start] = self._log_ratios[self._evidence(shift, low, high)]
        return scores

    def _most_certain_passage(self, start: int, stop: int) -> MisalignedPassage | None:
        """Returns the most certain misaligned passage among the pairs from `start` up to `stop`, if there is one."""
        if stop - start < 2:
            return None
        threshold = math.log(self._size) - math.log(_FALSE_ALARM)
        unshifted = self._unshifted_scores[start:stop]
        # A shifted alignment must be better than the unshifted one, and better than no alignment.
        baseline = np.maximum(unshifted, 0)
        increases = {shift: _max_increase(self._scores(shift, start, stop) - baseline) for shift in _NEAR_SHIFTS}
        shift, (increase, low, high) = max(increases.items(), key=lambda item: item[1][0])
        if increase < threshold:
            shift, (increase, low, high) = None, _max_increase(-unshifted)
            if increase < threshold:
                return None
            far = self._best_shift(start + low, start + high)
            far_increase = _max_increase(self._scores(far, start, stop) - baseline)
            if far_increase[0] >= threshold:
                shift, (increase, low, high) = far, far_increase
        return MisalignedPassage(start + low, start + high, shift)

    def _best_shift(self, start: int, stop: int) -> int:
        """Returns the shift with the highest score for these lines."""
        stop = min(stop, start + _SAMPLED)
        return max(self._shifts, key=lambda shift: float(self._scores(shift, start, stop).sum()))


def _information(counts: np.ndarray, unrelated: np.ndarray) -> float:
    """Returns the information in a pair about whether it is related, in nats, minus the expectation by chance."""
    related = _frequencies(counts)
    by_chance = np.count_nonzero(counts) / max(2 * counts.sum(), 1)
    return float((related * np.log(related / unrelated)).sum() - by_chance)


def _frequencies(counts: np.ndarray) -> np.ndarray:
    smoothed = counts + _PSEUDOCOUNT
    return smoothed / smoothed.sum()


def _max_increase(differences: np.ndarray) -> tuple[float, int, int]:
    """Returns sum, start and stop of the stretch with the largest sum."""
    cumulative = np.concatenate([[0.0], np.cumsum(differences)])
    minimum = np.minimum.accumulate(cumulative)
    stop = int(np.argmax(cumulative - minimum))
    start = int(np.flatnonzero(cumulative[: stop + 1] == minimum[stop])[-1])
    return float(cumulative[stop] - minimum[stop]), start, stop
