"""A peer that counts its updates instead of training."""

import sys
import time

from experiments.benchmark.peers import worker
from experiments.benchmark.workloads import SentenceBatch, Workload


class CountingTrainer:
    def __init__(self, workload: Workload, batches: list[SentenceBatch]) -> None:
        self.versions = {"counting": "1"}
        self.device, self.dtype = "none", workload.dtype
        if "fail" in sys.argv:
            raise ValueError("the library is not installed")
        print("output of a library")
        self.parameters = workload.d_model
        self.updates: list[int] = []

    def update(self, index: int) -> None:
        self.updates.append(index)
        time.sleep(0.01)

    def loss(self) -> float:
        return 9.0 - len(self.updates)

    def peak_bytes(self) -> int:
        return len(self.updates)


if __name__ == "__main__":
    worker.serve_trainer(CountingTrainer)
