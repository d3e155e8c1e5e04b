"""What PyTorch's models share as workers: batches as tensors, the smoothed loss, Adam, precision, compiling."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from experiments.benchmark import works
from experiments.benchmark.peers import worker
from transformer.spec import BOS, PAD

Logits = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (source_BS, decoder input_BT) to logits_BTV


class TorchTrainer:
    """Trains any module that makes logits.

    Args:
      work: what is trained.
      given: the batches.
      model: with its parameters.
      logits: calls the model.
      versions: of the library.
      compile: whether the forward pass and the loss are compiled.
    """

    def __init__(
        self,
        work: works.Work,
        given: list[works.Batch],
        model: torch.nn.Module,
        logits: Logits,
        versions: dict[str, str],
        compile: bool = False,
    ) -> None:
        cuda = torch.cuda.is_available()
        if cuda:
            torch.backends.cuda.matmul.allow_tf32 = False
        where = torch.device("cuda" if cuda else "cpu")
        model.to(where).train()
        self.parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
        self.versions = {"torch": torch.__version__} | versions
        self.device = torch.cuda.get_device_name() if cuda else "cpu"
        self.dtype = work.dtype
        self._batches = [[torch.from_numpy(side).long().to(where) for side in batch] for batch in given]
        # The fused kernel is the fastest of PyTorch's on both.
        self._optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9, fused=True)
        self._cast = work.dtype == "bfloat16"
        self._where = where.type
        self._loss: Any = None

        def loss(source_BS: torch.Tensor, target_BT: torch.Tensor) -> torch.Tensor:
            begin = torch.full_like(target_BT[:, :1], BOS)
            logits_BTV = logits(source_BS, torch.cat([begin, target_BT[:, :-1]], 1))
            return torch.nn.functional.cross_entropy(
                logits_BTV.flatten(0, 1),
                target_BT.flatten(),
                ignore_index=PAD,
                label_smoothing=work.smoothing,
            )

        self._forward = torch.compile(loss) if compile else loss

    def update(self, number: int) -> None:
        """Makes an update; on a GPU, begins it."""
        precision = torch.autocast(self._where, torch.bfloat16) if self._cast else contextlib.nullcontext()
        with precision:
            self._loss = self._forward(*self._batches[number])
        self._optimizer.zero_grad(set_to_none=True)
        self._loss.backward()
        self._optimizer.step()

    def loss(self) -> float:
        """Of the last update."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return float(self._loss.detach())

    def peak_bytes(self) -> int:
        """On the GPU, or of the process."""
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else worker.process_peak()


def initialise(model: torch.nn.Module, table: torch.Tensor) -> None:
    """Matrices Xavier-uniform, the table of words with variance 1 / d_model, as ours are."""
    for each in model.parameters():
        if each.requires_grad and each.dim() > 1 and each is not table:
            torch.nn.init.xavier_uniform_(each)
    torch.nn.init.normal_(table, std=table.shape[1] ** -0.5)
