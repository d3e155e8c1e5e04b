"""Peer: PyTorch's `torch.nn.Transformer`, eager or, with the second argument "compile", compiled.

To install it: `python3 -m venv .venv-peers/pytorch && .venv-peers/pytorch/bin/pip install torch numpy`.
"""

import functools
import math
import sys
import warnings

import torch

from experiments.benchmark.peers import in_torch, worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from transformer.spec import PAD


class TorchTransformer(torch.nn.Module):
    """Embeddings, `torch.nn.Transformer` with post-norm, and the tied output."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.scale = math.sqrt(workload.d_model)
        self.table_VD = torch.nn.Parameter(torch.empty(workload.vocabulary, workload.d_model))
        self.transformer = torch.nn.Transformer(
            workload.d_model,
            workload.heads,
            workload.layers,
            workload.layers,
            workload.d_ff,
            workload.dropout,
            batch_first=True,
        )
        for module in self.transformer.modules():
            if isinstance(module, torch.nn.MultiheadAttention):
                module.dropout = 0.0  # of attention weights
            elif isinstance(module, torch.nn.TransformerEncoderLayer | torch.nn.TransformerDecoderLayer):
                module.dropout.p = 0.0  # inside the feed-forward network
        self.dropout = torch.nn.Dropout(workload.dropout)
        angle_TD = torch.arange(workload.width)[:, None] / 10_000 ** (
            torch.arange(0, workload.d_model, 2) / workload.d_model
        )
        position_TD = torch.stack([angle_TD.sin(), angle_TD.cos()], -1).flatten(1)
        self.position_TD = torch.nn.Buffer(position_TD)
        self.future_TT = torch.nn.Buffer(torch.full((workload.width, workload.width), -math.inf).triu(1))
        in_torch.initialise(self, self.table_VD)

    def _embed(self, token_BT: torch.Tensor) -> torch.Tensor:
        vectors = torch.nn.functional.embedding(token_BT, self.table_VD) * self.scale
        return self.dropout(vectors + self.position_TD)

    def forward(self, source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        """Returns logits_BTV."""
        padding_BS = torch.zeros(source_BS.shape, device=source_BS.device).masked_fill(source_BS == PAD, -math.inf)
        hidden_BTD = self.transformer(
            self._embed(source_BS),
            self._embed(input_BT),
            tgt_mask=self.future_TT,
            src_key_padding_mask=padding_BS,
            memory_key_padding_mask=padding_BS,
            tgt_is_causal=True,
        )
        return hidden_BTD @ self.table_VD.T


def make_trainer(workload: Workload, batches: list[SentenceBatch], compile: bool) -> in_torch.TorchTrainer:
    """Returns the trainer."""
    warnings.filterwarnings("ignore", message=".*nested tensor.*")
    torch.manual_seed(0)
    model = TorchTransformer(workload)
    return in_torch.TorchTrainer(workload, batches, model, model, {}, compile)


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(functools.partial(make_trainer, compile="compile" in sys.argv[2:])))
