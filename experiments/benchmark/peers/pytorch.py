"""PyTorch's own `torch.nn.Transformer` as a worker, eager or, with a second argument "compile", compiled.

Its environment: `python3 -m venv .venv-peers/pytorch && .venv-peers/pytorch/bin/pip install torch numpy`.
"""

import functools
import math
import sys
import warnings

import torch

from experiments.benchmark import works
from experiments.benchmark.peers import in_torch, worker
from transformer.spec import PAD


class Model(torch.nn.Module):
    """Embeddings, `torch.nn.Transformer` with post-norm, and the tied output."""

    def __init__(self, work: works.Work) -> None:
        super().__init__()
        self.scale = math.sqrt(work.d_model)
        self.table_VD = torch.nn.Parameter(torch.empty(work.vocabulary, work.d_model))
        self.transformer = torch.nn.Transformer(
            work.d_model, work.heads, work.layers, work.layers, work.d_ff, work.dropout, batch_first=True
        )
        for module in self.transformer.modules():
            if isinstance(module, torch.nn.MultiheadAttention):
                module.dropout = 0.0  # of attention weights
            elif isinstance(module, torch.nn.TransformerEncoderLayer | torch.nn.TransformerDecoderLayer):
                module.dropout.p = 0.0  # inside the feed-forward network
        self.dropout = torch.nn.Dropout(work.dropout)
        angle_TD = torch.arange(work.width)[:, None] / 10_000 ** (torch.arange(0, work.d_model, 2) / work.d_model)
        position_TD = torch.stack([angle_TD.sin(), angle_TD.cos()], -1).flatten(1)
        self.position_TD = torch.nn.Buffer(position_TD)
        self.future_TT = torch.nn.Buffer(torch.full((work.width, work.width), -math.inf).triu(1))
        in_torch.initialise(self, self.table_VD)

    def _embed(self, token_BT: torch.Tensor) -> torch.Tensor:
        vectors = torch.nn.functional.embedding(token_BT, self.table_VD) * self.scale
        return self.dropout(vectors + self.position_TD)

    def forward(self, source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        """Logits_BTV."""
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


def make(work: works.Work, given: list[works.Batch], compile: bool) -> in_torch.TorchTrainer:
    """The worker's trainer."""
    warnings.filterwarnings("ignore", message=".*nested tensor.*")
    torch.manual_seed(0)
    model = Model(work)
    return in_torch.TorchTrainer(work, given, model, model, {}, compile)


if __name__ == "__main__":
    sys.exit(worker.serve(functools.partial(make, compile="compile" in sys.argv[2:])))
