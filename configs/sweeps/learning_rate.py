"""Peak learning rates, a factor of two apart, for any base config; the runs are members of one population.

What is best at a budget differs between architectures more than most other settings do, and a comparison at one and
the same rate favours the one that it was chosen for. Choose on validation:

    python -m experiments.sweep --config=configs/rnnsearch.py --sweep=configs/sweeps/learning_rate.py --seeds=1 \
        --splits=validation --workdir=runs/rnnsearch-rates
"""

from configs import variants

RATES = (1e-3, 2e-3, 4e-3, 8e-3)


def get_sweep() -> variants.Sweep:
    """A variant for each rate."""
    return variants.axis("train.learning_rate", RATES)
