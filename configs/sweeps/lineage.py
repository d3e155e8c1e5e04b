"""Three generations: LSTMs of 2014 (source as it is, and reversed), attention of 2015, the Transformer of 2017.

Each with the same corpus, the same batches in the same order, the same number of target tokens, and about the same
number of parameters, and all with Muon, without which the LSTMs do not begin to learn in so few updates. The base is
the Transformer of the same scale.

    python -m experiments.sweep --config=configs/quickstart.py --config.train.optimizer=muon \
        --sweep=configs/sweeps/lineage.py --seeds=3 --splits=test,long --workdir=runs/lineage
    python -m experiments.sweep --config=configs/multi30k.py --sweep=configs/sweeps/lineage.py:multi30k --seeds=3 \
        --config.data.direction=en-fr --workdir=runs/lineage-multi30k
    python -m experiments.sweep --config=configs/multi30k.py:small --sweep=configs/sweeps/lineage.py:small --seeds=3 \
        --config.data.direction=en-fr --workdir=runs/lineage-small
"""

from configs import rnnsearch, seq2seq, variants
from configs.sizes import SCALES

ARGUMENTS = tuple(SCALES)


def get_sweep(scale: str = "quickstart") -> variants.Sweep:
    """The four systems, in the direction of the base.

    Raises:
      ValueError: another scale.
    """
    if scale not in ARGUMENTS:
        raise ValueError(f"lineage:{scale}: the argument is one of {', '.join(ARGUMENTS)}")
    base = SCALES[scale]()
    reversing = variants.difference(base, seq2seq.get_config(scale))
    return {
        "seq2seq": {key: value for key, value in reversing.items() if key != "model.reverse_source"},
        "seq2seq-reversed": reversing,
        "rnnsearch": variants.difference(base, rnnsearch.get_config(scale)),
        "transformer": {},
    }
