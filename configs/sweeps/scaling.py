"""Five sizes of the Transformer × four training budgets, three octaves apart, on the built-in corpus.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/scaling.py --seeds=3 \
        --splits=validation --config.evaluate.sentences=0 --config.parallel.cpu_devices=1 --workdir=runs/scaling-law

The corpus is generated, so that no budget repeats a pair: loss then depends on parameters and tokens only (Hoffmann et
al. 2022, whose sizes and budgets also each have a schedule of their own). The learning rate falls with the square root
of the width, as Eq. 3 has it; the rate of quickstart.py was chosen at width 128.
"""

from configs import variants

WIDTHS = (32, 64, 96, 128, 192)
STEPS = (500, 1000, 2000, 4000)
PAIRS = 400_000  # more than the longest budget reads


def get_sweep() -> variants.Sweep:
    """Returns every size with every budget."""
    sizes: variants.Sweep = {
        f"d_model={width}": {
            "model.d_model": width,
            "model.d_ff": 2 * width,
            "train.learning_rate": round(4e-3 * (128 / width) ** 0.5, 6),
            "data.train_pairs": PAIRS,
        }
        for width in WIDTHS
    }
    return variants.product(sizes, variants.axis("train.steps", STEPS))
