"""The WMT workload of AlgoPerf: German to English, the model, the data and the targets of the benchmark.

The model has pre-norm, width 1024 also inside the feed-forward networks, and 16 heads. It trains on WMT 2017, 5.9 M
pairs, in packed rows of 256 tokens, and its validation and test splits are those of WMT 2014. The targets are 30.8491
BLEU on validation (newstest2013) and 30.7219 on the test (newstest2014), within 133,333 steps or 43,336 s on the
benchmark's hardware. configs/ablations/algoperf.py has the workload's variants.

Departs: the benchmark is about optimizers and prescribes none; the learning rate here is that of the paper's schedule.
  Projections of attention have biases. The vocabulary is trained on all of the text, not on 10 M characters.
Source: Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms"; mlcommons/algorithmic-efficiency,
  algoperf/workloads/wmt.
Hardware: published: 8 V100 GPUs. Not run.
Time: not measured.
Score: published targets: 30.85 BLEU on validation, 30.72 on the test (sacreBLEU). Not run.
Command: python -m experiments.prepare --config=configs/algoperf_wmt.py, and then
  python -m experiments.train --config=configs/algoperf_wmt.py --workdir=runs/algoperf
"""

from ml_collections import ConfigDict

from configs import base

TARGETS = {"validation": 30.8491, "test": 30.7219}  # BLEU


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()

    config.model.d_model = 1024
    config.model.d_ff = 1024
    config.model.heads = 16
    config.model.norm = "pre"
    config.model.dropout_attention = 0.1
    config.model.dropout_feed_forward = 0.1

    config.data.name = "wmt14_translate/de-en"
    config.data.mixture = "wmt17_translate/de-en"
    config.data.direction = "de-en"
    config.data.prepared = "prepared/algoperf_wmt"
    config.data.vocab_size = 32_000
    config.data.tokenizer = "unigram"
    config.data.max_length = 256
    config.data.packed_width = 256
    config.data.tokens_per_batch = 128 * 256

    config.train.steps = 133_333
    config.train.average_checkpoints = 1

    config.evaluate.every = 4000
    config.checkpoint.every = 1000
    return config
