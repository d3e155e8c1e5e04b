"""Hugging Face's `MarianMTModel` as a worker, eager or, with a second argument "compile", compiled.

Its environment: `python3 -m venv .venv-peers/hugging && .venv-peers/hugging/bin/pip install torch transformers numpy`.
"""

import functools
import sys

import torch
import transformers

from experiments.benchmark import works
from experiments.benchmark.peers import in_torch, worker
from transformer.spec import BOS, EOS, PAD


def make(work: works.Work, given: list[works.Batch], compile: bool) -> in_torch.TorchTrainer:
    """The worker's trainer."""
    torch.manual_seed(0)
    config = transformers.MarianConfig(
        vocab_size=work.vocabulary,
        d_model=work.d_model,
        encoder_layers=work.layers,
        decoder_layers=work.layers,
        encoder_attention_heads=work.heads,
        decoder_attention_heads=work.heads,
        encoder_ffn_dim=work.d_ff,
        decoder_ffn_dim=work.d_ff,
        activation_function="relu",
        dropout=work.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        scale_embedding=True,
        max_position_embeddings=work.width,
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
    return in_torch.TorchTrainer(work, given, model, logits, versions, compile)


if __name__ == "__main__":
    sys.exit(worker.serve(functools.partial(make, compile="compile" in sys.argv[2:])))
