"""Peak learning rates, a factor of two apart, for any base config; the runs are members of one population.

The best learning rate at a budget differs more between architectures than most other settings, and a comparison at one
rate favours the architecture that it was tuned for. Choose on validation:

    python -m experiments.sweep --config=configs/rnnsearch.py --sweep=configs/sweeps/learning_rate.py --seeds=1 \
        --splits=validation --workdir=runs/rnnsearch-rates
"""

from configs import variants

RATES = (1e-3, 2e-3, 4e-3, 8e-3)


def get_sweep() -> variants.Sweep:
    """Returns one variant per rate."""
    return variants.axis("train.learning_rate", RATES)
