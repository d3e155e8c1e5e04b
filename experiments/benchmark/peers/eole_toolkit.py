"""Peer: the Transformer of eole, the successor of OpenNMT-py, with eole's order of norms, which is pre-norm.

To install it: `python3 -m venv .venv-peers/eole && .venv-peers/eole/bin/pip install eole`.
"""

import sys
from importlib.metadata import version
from types import SimpleNamespace

import torch
from eole.config.models import TransformerModelConfig
from eole.models.model import EncoderDecoderModel

from experiments.benchmark.peers import in_torch, worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from transformer.spec import PAD


def make_trainer(workload: Workload, batches: list[SentenceBatch]) -> in_torch.TorchTrainer:
    """Returns the trainer."""
    torch.manual_seed(0)
    config = TransformerModelConfig(
        hidden_size=workload.d_model,
        transformer_ff=workload.d_ff,
        heads=workload.heads,
        layers=workload.layers,
        mlp_activation_fn="relu",
        add_qkvbias=True,
        add_final_linear_bias=True,
        add_ffnbias=True,
        share_embeddings=True,
        share_decoder_embeddings=True,
        generator_bias=False,
        embeddings={"word_vec_size": workload.d_model, "position_encoding_type": "SinusoidalInterleaved"},
    )
    running = SimpleNamespace(
        dropout=[workload.dropout],
        attention_dropout=[0.0],
        self_attn_backend="pytorch",
        use_ckpting=[],
        parallel_gpu=1,
    )
    words = {str(number): number for number in range(workload.vocabulary)}
    vocabularies = {"src": words, "tgt": words, "specials": {"pad_token": str(PAD)}}
    model = EncoderDecoderModel.build_blocks(config, vocabularies, running_config=running)
    model.build_generator(config, running, vocabularies)
    for module in model.modules():
        if hasattr(module, "dropout_1"):
            module.dropout_1.p = 0.0  # inside the feed-forward network
    table = model.src_emb.embeddings.weight
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.zeros_(parameter)
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(parameter)
    in_torch.initialise(model, table)

    def logits(source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        # eole drops the last target token.
        target = torch.cat([input_BT, torch.full_like(input_BT[:, :1], PAD)], 1)
        output = model(source_BS, target, (source_BS != PAD).sum(1))
        return model.generator(output.dec_out)

    return in_torch.TorchTrainer(workload, batches, model, logits, {"eole": version("eole")})


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(make_trainer))
