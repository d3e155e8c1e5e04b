"""Shared code of the PyTorch peers: batches as tensors, the smoothed loss, Adam, precision, compilation."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from experiments.benchmark.peers import worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from transformer.spec import BOS, PAD

Logits = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (source_BS, decoder input_BT) to logits_BTV


class TorchTrainer:
    """Trains any module that computes logits.

    Args:
      workload: the model and its training settings.
      batches: the batches.
      model: the module with the parameters.
      logits: calls the model.
      versions: versions of the library.
      compile: compile the forward pass and the loss.
    """

    def __init__(
        self,
        workload: Workload,
        batches: list[SentenceBatch],
        model: torch.nn.Module,
        logits: Logits,
        versions: dict[str, str],
        compile: bool = False,
    ) -> None:
        cuda = torch.cuda.is_available()
        if cuda:
            torch.backends.cuda.matmul.allow_tf32 = False  # as model.matmul_precision=float32, our default
        device = torch.device("cuda" if cuda else "cpu")
        model.to(device).train()
        self.parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        self.versions = {"torch": torch.__version__} | versions
        self.device = torch.cuda.get_device_name() if cuda else "cpu"
        self.dtype = workload.dtype
        self._batches = [[torch.from_numpy(side).long().to(device) for side in batch] for batch in batches]
        # PyTorch's fused kernel is its fastest on CPUs and on GPUs.
        self._optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9, fused=True)
        self._cast = workload.dtype == "bfloat16"
        self._device_type = device.type
        self._loss: Any = None

        def loss(source_BS: torch.Tensor, target_BT: torch.Tensor) -> torch.Tensor:
            bos = torch.full_like(target_BT[:, :1], BOS)
            logits_BTV = logits(source_BS, torch.cat([bos, target_BT[:, :-1]], 1))
            return torch.nn.functional.cross_entropy(
                logits_BTV.flatten(0, 1),
                target_BT.flatten(),
                ignore_index=PAD,
                label_smoothing=workload.smoothing,
            )

        self._forward = torch.compile(loss) if compile else loss

    def update(self, index: int) -> None:
        """Runs an update; on a GPU, dispatches it."""
        precision = torch.autocast(self._device_type, torch.bfloat16) if self._cast else contextlib.nullcontext()
        with precision:
            self._loss = self._forward(*self._batches[index])
        self._optimizer.zero_grad(set_to_none=True)
        self._loss.backward()
        self._optimizer.step()

    def loss(self) -> float:
        """Returns the loss of the last update."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return float(self._loss.detach())

    def peak_bytes(self) -> int:
        """Returns the peak memory of the GPU, or of the process."""
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else worker.process_peak_bytes()


def initialise(model: torch.nn.Module, table: torch.Tensor) -> None:
    """Initialises matrices Xavier-uniformly and the table with variance 1 / d_model, as this codebase does."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dim() > 1 and parameter is not table:
            torch.nn.init.xavier_uniform_(parameter)
    torch.nn.init.normal_(table, std=table.shape[1] ** -0.5)
