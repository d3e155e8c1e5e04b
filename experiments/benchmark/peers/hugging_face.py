"""Peer: Hugging Face's `MarianMTModel`, eager or, with the second argument "compile", compiled.

To install it: `python3 -m venv .venv-peers/hugging && .venv-peers/hugging/bin/pip install torch transformers numpy`.
"""

import functools
import sys

import torch
import transformers

from experiments.benchmark.peers import in_torch, worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from transformer.spec import BOS, EOS, PAD


def make_trainer(workload: Workload, batches: list[SentenceBatch], compile: bool) -> in_torch.TorchTrainer:
    """Returns the trainer."""
    torch.manual_seed(0)
    config = transformers.MarianConfig(
        vocab_size=workload.vocabulary,
        d_model=workload.d_model,
        encoder_layers=workload.layers,
        decoder_layers=workload.layers,
        encoder_attention_heads=workload.heads,
        decoder_attention_heads=workload.heads,
        encoder_ffn_dim=workload.d_ff,
        decoder_ffn_dim=workload.d_ff,
        activation_function="relu",
        dropout=workload.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        scale_embedding=True,
        max_position_embeddings=workload.width,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=None,
        use_cache=False,
    )
    model = transformers.MarianMTModel(config)
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    in_torch.initialise(model, table)

    def logits(source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        mask_BS = (source_BS != PAD).long()
        return model(input_ids=source_BS, attention_mask=mask_BS, decoder_input_ids=input_BT).logits

    versions = {"transformers": transformers.__version__}
    return in_torch.TorchTrainer(workload, batches, model, logits, versions, compile)


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(functools.partial(make_trainer, compile="compile" in sys.argv[2:])))
