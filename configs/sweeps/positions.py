"""Each kind of positions, on sentences of the training lengths and on longer ones.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/positions.py --seeds=3 \
        --splits=test,long --config.data.train_pairs=400000 --config.train.steps=6000 --config.parallel.cpu_devices=1 \
        --workdir=runs/positions

Sentences of `long` are longer than all sentences of training: a model needs positions that generalise. 6000 updates
read each of the 400,000 pairs about once.
"""

from configs import variants

KINDS = ("sinusoid", "learned", "rotary", "alibi", "relative", "none")


def get_sweep() -> variants.Sweep:
    """Returns one variant per kind; the first is the base."""
    return {kind: {"model.positions": kind} if kind != "sinusoid" else {} for kind in KINDS}
