"""The Transformer of AlgoPerf's WMT workload and its three variants, with their published scores.

    python -m experiments.sweep --config=configs/wmt14_en_fr.py:base --sweep=configs/ablations/algoperf.py --seeds=1 \
        --splits=validation --workdir=runs/algoperf

The published values are BLEU on validation after tuning: the targets of the workloads, German to English. They show
the order of the variants; the values of this sweep, English to French, are on another scale. "attention temperature"
multiplies queries by 4, so that scores are divided by √64 / 4 = 2.

Departs: data, optimizer and learning rates are those of the base config; projections of attention have biases.
Source: Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms"; mlcommons/algorithmic-efficiency,
  algoperf/workloads/wmt.
"""

from configs import variants

ARGUMENTS = ("published",)

PUBLISHED = {
    "pre-norm": {"bleu": 30.85},
    "post-norm": {"bleu": 30.08},
    "attention temperature 4.0": {"bleu": 29.34},
    "gated units": {"bleu": 29.58},
}


def get_sweep(size: str = "published") -> variants.Sweep:
    """Returns the four workloads, as changes to wmt14_en_fr.py:base.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"algoperf:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    post_norm = {
        "model.d_model": 1024,
        "model.d_ff": 1024,
        "model.heads": 16,
        "model.dropout_attention": 0.1,
        "model.dropout_feed_forward": 0.1,
        "train.steps": 133_333,
    }
    base = post_norm | {"model.norm": "pre"}
    return {
        "pre-norm": base,
        "post-norm": post_norm,
        "attention temperature 4.0": base | {"model.score_scale": "2.0"},
        "gated units": base | {"model.activation": "tanh_glu"},
    }
