"""The Transformer of JoeyNMT as a worker, with post-norm as in the paper.

Its environment: `python3 -m venv .venv-peers/joeynmt && .venv-peers/joeynmt/bin/pip install torch joeynmt
importlib-metadata`; JoeyNMT imports the last of these and does not ask for it.
"""

import sys
from importlib.metadata import version

import torch
from joeynmt.decoders import TransformerDecoder
from joeynmt.embeddings import Embeddings
from joeynmt.encoders import TransformerEncoder
from joeynmt.transformer_layers import MultiHeadedAttention

from experiments.benchmark import works
from experiments.benchmark.peers import in_torch, worker
from transformer.spec import PAD


class Model(torch.nn.Module):
    """JoeyNMT's encoder, decoder and embeddings, tied, without its batches and vocabularies."""

    def __init__(self, work: works.Work) -> None:
        super().__init__()
        sizes = {
            "num_layers": work.layers,
            "num_heads": work.heads,
            "hidden_size": work.d_model,
            "ff_size": work.d_ff,
            "dropout": work.dropout,
            "emb_dropout": work.dropout,
            "layer_norm": "post",
        }
        self.embeddings = Embeddings(work.d_model, scale=True, vocab_size=work.vocabulary, padding_idx=PAD)
        self.encoder = TransformerEncoder(**sizes)
        self.decoder = TransformerDecoder(vocab_size=work.vocabulary, **sizes)
        self.decoder.output_layer.weight = self.embeddings.lut.weight
        for layer in (*self.encoder.layers, *self.decoder.layers):
            layer.feed_forward.pwff_layer[2].p = 0.0  # inside the feed-forward network
            for part in layer.children():
                if isinstance(part, MultiHeadedAttention):
                    part.dropout.p = 0.0  # of attention weights
        for name, each in self.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(each)
        in_torch.initialise(self, self.embeddings.lut.weight)

    def forward(self, source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        """Logits_BTV."""
        mask_B1S, mask_B1T = ((side != PAD)[:, None] for side in (source_BS, input_BT))
        memory_BSD, _ = self.encoder(self.embeddings(source_BS), None, mask_B1S)
        logits_BTV, *_ = self.decoder(self.embeddings(input_BT), memory_BSD, None, mask_B1S, None, None, mask_B1T)
        return logits_BTV


def make(work: works.Work, given: list[works.Batch]) -> in_torch.TorchTrainer:
    """The worker's trainer."""
    torch.manual_seed(0)
    model = Model(work)
    return in_torch.TorchTrainer(work, given, model, model, {"joeynmt": version("joeynmt")})


if __name__ == "__main__":
    sys.exit(worker.serve(make))
