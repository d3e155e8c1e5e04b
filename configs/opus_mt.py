"""An OPUS-MT model (Tiedemann & Thottingal 2020), to evaluate, to ablate, or to train on Multi30k.

The model is Marian's Transformer: that of base.py with swish and an output bias. It comes from the Hugging Face hub
(extra `hub`), or from a folder. The run uses its vocabulary. --config.train.freeze='encoder.*' freezes parameters, and
--config.model.lora_rank=16 --config.model.lora_targets='*' --config.train.learning_rate=2e-4 is LoRA.

Source: Tiedemann & Thottingal 2020, "OPUS-MT: Building open translation services for the World"; Junczys-Dowmunt et al.
  2018, "Marian: Fast Neural Machine Translation in C++".
Hardware: two CPU cores.
Time: not measured.
Score: not measured.
Command: python -m experiments.train --config=configs/opus_mt.py --init_from=hf:Helsinki-NLP/opus-mt-fr-en \
  --workdir=runs/opus-mt (--config.train.steps=0: no training; the run holds the pretrained model)
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()

    config.model.activation = "swish"
    config.model.output_bias = True

    config.data.name = "multi30k"
    config.data.validation_split = "val"
    config.data.test_split = "test_2016_flickr"
    config.data.tokens_per_batch = 2048

    config.train.steps = 1000
    config.train.learning_rate = 2e-5
    config.train.warmup_steps = 100
    config.train.schedule = "linear"
    config.train.average_checkpoints = 1
    config.train.loss_chunk = 512  # the logits of 60,000 tokens are large

    config.evaluate.every = 500
    config.evaluate.sentences = 200
    config.checkpoint.every = 500
    config.checkpoint.keep = 1
    return config
