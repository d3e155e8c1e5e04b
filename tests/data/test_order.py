import numpy as np
import pytest

from transformer.data.order import stable_order


@pytest.mark.parametrize("size", [0, 1, 2, 8, 1009, 100_003])
@pytest.mark.parametrize("bits", [64, 50, 3])
def test_keys_are_sorted_as_numpy_does(size, bits):
    # Beside places of 17 bits, 100,003 keys of 50 bits are compared by 33 bits at first, and keys of 3 bits by none.
    keys = np.random.Philox(key=np.array([3, size], np.uint64)).random_raw(size) & np.uint64((1 << bits) - 1)
    assert (stable_order(keys) == np.argsort(keys, kind="stable")).all()
    last = np.uint64(2**64 - 1)
    keys[: size // 3] = last
    assert (stable_order(keys) == np.argsort(keys, kind="stable")).all()
