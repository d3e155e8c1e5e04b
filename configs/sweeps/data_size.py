"""The systems of lineage.py with an eighth, a quarter, half and all of Multi30k.

    python -m experiments.sweep --config=configs/multi30k.py --sweep=configs/sweeps/data_size.py --seeds=3 \
        --config.data.direction=en-fr --config.train.early_stopping=loss --config.parallel.cpu_devices=1 \
        --workdir=runs/data-size

The first pairs of the training split are used, so that a larger set contains a smaller one. The number of updates is
that of the base: small sets are read more often, and early stopping ends the training of a model that overfits. The
vocabulary is trained on the pairs that are used. --only='pairs=29000' is the sweep of lineage.py.
"""

from configs import variants
from configs.sweeps import lineage

ARGUMENTS = ("multi30k", "small")
PAIRS = (3_625, 7_250, 14_500, 29_000)


def get_sweep(size: str = "multi30k") -> variants.Sweep:
    """Returns every system with every number of pairs.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"data_size:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    return variants.product(lineage.get_sweep(size), variants.axis("data.train_pairs", PAIRS, "pairs"))
