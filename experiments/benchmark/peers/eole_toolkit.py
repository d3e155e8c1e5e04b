"""The Transformer of eole, the successor of OpenNMT-py, as a worker; eole's own order of norms, which is pre-norm.

Its environment: `python3 -m venv .venv-peers/eole && .venv-peers/eole/bin/pip install eole`.
"""

import sys
from importlib.metadata import version
from types import SimpleNamespace

import torch
from eole.config.models import TransformerModelConfig
from eole.models.model import EncoderDecoderModel

from experiments.benchmark import works
from experiments.benchmark.peers import in_torch, worker
from transformer.spec import PAD


def make(work: works.Work, given: list[works.Batch]) -> in_torch.TorchTrainer:
    """The worker's trainer."""
    torch.manual_seed(0)
    config = TransformerModelConfig(
        hidden_size=work.d_model,
        transformer_ff=work.d_ff,
        heads=work.heads,
        layers=work.layers,
        mlp_activation_fn="relu",
        add_qkvbias=True,
        add_final_linear_bias=True,
        add_ffnbias=True,
        share_embeddings=True,
        share_decoder_embeddings=True,
        generator_bias=False,
        embeddings={"word_vec_size": work.d_model, "position_encoding_type": "SinusoidalInterleaved"},
    )
    running = SimpleNamespace(
        dropout=[work.dropout],
        attention_dropout=[0.0],
        self_attn_backend="pytorch",
        use_ckpting=[],
        parallel_gpu=1,
    )
    words = {str(number): number for number in range(work.vocabulary)}
    vocabularies = {"src": words, "tgt": words, "specials": {"pad_token": str(PAD)}}
    model = EncoderDecoderModel.build_blocks(config, vocabularies, running_config=running)
    model.build_generator(config, running, vocabularies)
    for module in model.modules():
        if hasattr(module, "dropout_1"):
            module.dropout_1.p = 0.0  # inside the feed-forward network
    table = model.src_emb.embeddings.weight
    for each in model.parameters():
        if each.dim() == 1:
            torch.nn.init.zeros_(each)
    for name, each in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(each)
    in_torch.initialise(model, table)

    def logits(source_BS: torch.Tensor, input_BT: torch.Tensor) -> torch.Tensor:
        # eole leaves the last token out itself.
        target = torch.cat([input_BT, torch.full_like(input_BT[:, :1], PAD)], 1)
        found = model(source_BS, target, (source_BS != PAD).sum(1))
        return model.generator(found.dec_out)

    return in_torch.TorchTrainer(work, given, model, logits, {"eole": version("eole")})


if __name__ == "__main__":
    sys.exit(worker.serve(make))
