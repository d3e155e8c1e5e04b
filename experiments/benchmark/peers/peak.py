"""How many floating-point operations a second the machine reaches in one large product: what speeds are measured by.

On a CPU NumPy's BLAS makes it or JAX, whichever is faster, on all cores; on an accelerator JAX, in the dtype of the
work.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark import works
from experiments.benchmark.peers import worker

CPU_SIZE, ACCELERATOR_SIZE = 3072, 8192


class Peak:
    """A product of two square matrices, in the place of a model.

    Args:
      work: of which the dtype is taken, on an accelerator.
      given: not used.
    """

    parameters = 0

    def __init__(self, work: works.Work, given: list[works.Batch]) -> None:
        del given
        import jax

        chance = np.random.default_rng(0)
        self.device = jax.devices()[0].device_kind
        self.versions = {"numpy": np.__version__, "jax": jax.__version__}
        self._found: Any = None
        on_cpu = jax.default_backend() == "cpu"
        self.dtype = "float32" if on_cpu else work.dtype
        size = CPU_SIZE if on_cpu else ACCELERATOR_SIZE
        left, right = (chance.standard_normal((size, size), np.float32) for _ in range(2))
        held = [jax.numpy.asarray(each, self.dtype) for each in (left, right)]
        product = jax.jit(jax.numpy.matmul)
        products: list[Callable[[], Any]] = [lambda: product(*held)]
        if on_cpu:
            out = np.empty_like(left)
            products.append(lambda: np.matmul(left, right, out=out))
        self._product = min(products, key=_seconds)
        self.parameters = 2 * size**3  # operations of a product

    def update(self, number: int) -> None:
        """Makes the product."""
        del number
        self._found = self._product()

    def loss(self) -> float:
        """Waits for it."""
        return float(self._found[0, 0])

    def peak_bytes(self) -> int:
        """Of the process."""
        return worker.process_peak()


def _seconds(product: Callable[[], Any]) -> float:
    """The least of three tries, after one that compiles."""
    found = []
    for _ in range(4):
        begun = time.monotonic()
        float(product()[0, 0])
        found.append(time.monotonic() - begun)
    return min(found[1:])


if __name__ == "__main__":
    sys.exit(worker.serve(Peak))
