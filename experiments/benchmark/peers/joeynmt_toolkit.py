"""Peer: the Transformer of JoeyNMT, with post-norm as in the paper.

To install it: `python3 -m venv .venv-peers/joeynmt && .venv-peers/joeynmt/bin/pip install torch joeynmt
importlib-metadata`; JoeyNMT imports the last one without declaring it as a dependency.
"""

import sys
from importlib.metadata import version

import torch
from joeynmt.decoders import TransformerDecoder
from joeynmt.embeddings import Embeddings
from joeynmt.encoders import TransformerEncoder
from joeynmt.transformer_layers import MultiHeadedAttention

from experiments.benchmark.peers import in_torch, worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from transformer.spec import PAD


class JoeyTransformer(torch.nn.Module):
    """JoeyNMT's encoder, decoder and tied embeddings, without its batches and vocabularies."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        sizes = {
            "num_layers": workload.layers,
            "num_heads": workload.heads,
            "hidden_size": workload.d_model,
            "ff_size": workload.d_ff,
            "dropout": workload.dropout,
            "emb_dropout": workload.dropout,
            "layer_norm": "post",
        }
        self.embeddings = Embeddings(workload.d_model, scale=True, vocab_size=workload.vocabulary, padding_idx=PAD)
        self.encoder = TransformerEncoder(**sizes)
        self.decoder = TransformerDecoder(vocab_size=workload.vocabulary, **sizes)
        self.decoder.output_layer.weight = self.embeddings.lut.weight
        for layer in (*self.encoder.layers, *self.decoder.layers):
            layer.feed_forward.pwff_layer[2].p = 0.0  # inside the feed-forward network
            for module in layer.children():
                if isinstance(module, MultiHeadedAttention):
                    module.dropout.p = 0.0  # of attention weights
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(parameter)
        in_torch.initialise(self, self.embeddings.lut.weight)

    def forward(self, source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        """Returns logits_BTV."""
        mask_B1S, mask_B1T = ((side != PAD)[:, None] for side in (source_BS, input_BT))
        memory_BSD, _ = self.encoder(self.embeddings(source_BS), None, mask_B1S)
        logits_BTV, *_ = self.decoder(self.embeddings(input_BT), memory_BSD, None, mask_B1S, None, None, mask_B1T)
        return logits_BTV


def make_trainer(workload: Workload, batches: list[SentenceBatch]) -> in_torch.TorchTrainer:
    """Returns the trainer."""
    torch.manual_seed(0)
    model = JoeyTransformer(workload)
    return in_torch.TorchTrainer(workload, batches, model, model, {"joeynmt": version("joeynmt")})


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(make_trainer))
