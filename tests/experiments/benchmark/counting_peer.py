"""A peer of the benchmark that counts where others train."""

import sys
import time

from experiments.benchmark.peers import worker
from experiments.benchmark.works import Batch, Work


class Counting:
    def __init__(self, work: Work, given: list[Batch]) -> None:
        self.versions = {"counting": "1"}
        self.device, self.dtype = "none", work.dtype
        if "fail" in sys.argv:
            raise ValueError("it is not installed")
        print("a library that talks")
        self.parameters = work.d_model
        self.seen: list[int] = []

    def update(self, number: int) -> None:
        self.seen.append(number)
        time.sleep(0.01)

    def loss(self) -> float:
        return 9.0 - len(self.seen)

    def peak_bytes(self) -> int:
        return len(self.seen)


if __name__ == "__main__":
    worker.serve(Counting)
