"""The Transformer of AlgoPerf's WMT workload and its three variants, with their published scores.

    python -m experiments.sweep --config=configs/algoperf_wmt.py --sweep=configs/ablations/algoperf.py --seeds=1 \
        --splits=validation --workdir=runs/algoperf

The published values are BLEU on validation after tuning: the targets of the workloads. "attention temperature"
multiplies queries by 4, so that scores are divided by √64 / 4 = 2.

Departs: optimizer and learning rates are those of the base config; projections of attention have biases.
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
    """Returns the four workloads, as changes to algoperf_wmt.py.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"algoperf:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    return {
        "pre-norm": {},
        "post-norm": {"model.norm": "post"},
        "attention temperature 4.0": {"model.score_scale": "2.0"},
        "gated units": {"model.activation": "tanh_glu"},
    }
