"""What each part of the Transformer is for: one taken away at a time, from any config with that architecture.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/ablations/anatomy.py --seeds=3 \
        --workdir=runs/anatomy

"no softmax" gives every visible key the same weight; "no causal mask" is about training, for a search has nothing later
to look at.
"""

from configs import variants


def get_sweep() -> variants.Sweep:
    """The base, and the base without each of its parts."""
    return {
        "base": {},
        "one head": {"model.heads": 1},
        "no scaling": {"model.score_scale": "none"},
        "no residual": {"model.residual": False},
        "no norm": {"model.norm": "none"},
        "no positions": {"model.positions": "none"},
        "no feed-forward": {"model.feed_forward": False},
        "no softmax": {"model.weights": "uniform"},
        "no causal mask": {"model.causal_mask": False},
    }
