"""Three generations: LSTMs of 2014 (original and reversed source), attention of 2015, the Transformer of 2017.

The Transformer is the one of the paper, post-norm, and the pre-norm one of later work (Xiong et al. 2020).
All have the same corpus, batches, batch order and number of target tokens, and about the same number of parameters. All
use Muon, because the LSTMs do not learn in so few updates without it. The base is the Transformer of the same size.

    python -m experiments.sweep --config=configs/quickstart.py --config.train.optimizer=muon \
        --sweep=configs/sweeps/lineage.py --seeds=3 --splits=test,long --workdir=runs/lineage
    python -m experiments.sweep --config=configs/multi30k.py --sweep=configs/sweeps/lineage.py:multi30k --seeds=3 \
        --config.data.direction=en-fr --workdir=runs/lineage-multi30k
    python -m experiments.sweep --config=configs/multi30k.py:small --sweep=configs/sweeps/lineage.py:small --seeds=3 \
        --config.data.direction=en-fr --workdir=runs/lineage-small
"""

from configs import rnnsearch, seq2seq, variants
from configs.sizes import SIZES

ARGUMENTS = tuple(SIZES)


def get_sweep(size: str = "quickstart") -> variants.Sweep:
    """Returns the five systems, in the direction of the base.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"lineage:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    base = SIZES[size]()
    reversed_source = variants.difference(base, seq2seq.get_config(size))
    return {
        "seq2seq": {key: value for key, value in reversed_source.items() if key != "model.reverse_source"},
        "seq2seq-reversed": reversed_source,
        "rnnsearch": variants.difference(base, rnnsearch.get_config(size)),
        "transformer": {},
        "transformer-pre-norm": {"model.norm": "pre"},
    }
