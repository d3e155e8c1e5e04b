"""Peer: the FLOP/s of one large matmul, the peak that training speeds are compared with.

On a CPU, the matmul of NumPy's BLAS or of JAX, whichever is faster, on all cores; on an accelerator, that of JAX in
the workload's dtype.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark.peers import worker
from experiments.benchmark.workloads import SentenceBatch, Workload

CPU_SIZE, ACCELERATOR_SIZE = 3072, 8192


class MatmulPeak:
    """A matmul of two square matrices instead of a model.

    Args:
      workload: its dtype is used on an accelerator.
      batches: not used.
    """

    parameters = 0

    def __init__(self, workload: Workload, batches: list[SentenceBatch]) -> None:
        del batches
        import jax

        rng = np.random.default_rng(0)
        self.device = jax.devices()[0].device_kind
        self.versions = {"numpy": np.__version__, "jax": jax.__version__}
        self._product: Any = None
        on_cpu = jax.default_backend() == "cpu"
        self.dtype = "float32" if on_cpu else workload.dtype
        size = CPU_SIZE if on_cpu else ACCELERATOR_SIZE
        left, right = (rng.standard_normal((size, size), np.float32) for _ in range(2))
        operands = [jax.numpy.asarray(matrix, self.dtype) for matrix in (left, right)]
        matmul = jax.jit(jax.numpy.matmul)
        matmuls: list[Callable[[], Any]] = [lambda: matmul(*operands)]
        if on_cpu:
            out = np.empty_like(left)
            matmuls.append(lambda: np.matmul(left, right, out=out))
        self._matmul = min(matmuls, key=_seconds)
        self.parameters = 2 * size**3  # FLOPs of the matmul

    def update(self, index: int) -> None:
        """Runs the matmul."""
        del index
        self._product = self._matmul()

    def loss(self) -> float:
        """Waits for the matmul."""
        return float(self._product[0, 0])

    def peak_bytes(self) -> int:
        """Returns the peak memory of the process."""
        return worker.process_peak_bytes()


def _seconds(matmul: Callable[[], Any]) -> float:
    """Returns the least seconds of three runs, after one that compiles."""
    seconds = []
    for _ in range(4):
        start = time.monotonic()
        float(matmul()[0, 0])
        seconds.append(time.monotonic() - start)
    return min(seconds[1:])


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(MatmulPeak))
