"""The two English-French systems of Vaswani et al. 2017, Table 2 and the last row of Table 3.

`:base` is the base model of Section 5 (65 M parameters, 100,000 steps), `:big` the big model (213 M, 300,000 steps,
dropout 0.1 for this language pair; Section 6.1). Both use WMT 2014 from TFDS, 36 M pairs, with a joint vocabulary of
32,000 (Section 5.1: 32,000 word pieces for this pair).

Source: Vaswani et al. 2017, Sections 5 and 6.1, Tables 2 and 3.
Hardware: published: 8 P100 GPUs. Not run.
Time: published: base 12 hours (0.4 s per step), big 3.5 days (1.0 s per step).
Score: published, newstest2014: base 38.1 BLEU, big 41.8 BLEU. Not run.
Command: python -m experiments.prepare --config=configs/wmt14_en_fr.py:base, once for both sizes, and then
  python -m experiments.train --config=configs/wmt14_en_fr.py:base --workdir=runs/wmt14-base
"""

from ml_collections import ConfigDict

from configs import base

ARGUMENTS = ("base", "big")


def get_config(size: str = "base") -> ConfigDict:
    """Returns the config; `size` is "base" or "big".

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"wmt14_en_fr:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    config = base.get_config()

    config.model.matmul_precision = "float32"  # as the paper's GPUs; on a TPU six bfloat16 passes, "default" is one
    config.data.direction = "en-fr"
    config.data.vocab_size = 32_000
    config.data.prepared = "prepared/wmt14_en_fr"  # about 5 GB; twice that while it is being built
    config.data.tokens_per_batch = 25_000  # approximately, on each side; Section 5.1

    config.checkpoint.every = 1500  # the paper: every 10 minutes, at 0.4 s per step
    config.checkpoint.keep = 20
    config.evaluate.every = 5000
    config.evaluate.sentences = 1000

    if size == "big":
        config.model.d_model = 1024
        config.model.d_ff = 4096
        config.model.heads = 16
        config.train.steps = 300_000
        config.train.average_checkpoints = 20  # base averages the last 5; Section 6.1
        config.checkpoint.every = 600  # 10 minutes at 1.0 s per step
    return config
