"""Removes or replaces one part of the Transformer at a time, for any base config with that architecture.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/ablations/anatomy.py --seeds=3 \
        --workdir=runs/anatomy

"no softmax" gives every visible key the same weight; "no causal mask" only affects training, because a search has no
future tokens. "cosine scores" replaces Eq. 1's dot product by a cosine with a learned temperature.
"""

from configs import variants


def get_sweep() -> variants.Sweep:
    """Returns the base, and the base without each of its parts."""
    return {
        "base": {},
        "one head": {"model.heads": 1},
        "no scaling": {"model.score_scale": "none"},
        "cosine scores": {"model.score": "cosine"},
        "no residual": {"model.residual": False},
        "no norm": {"model.norm": "none"},
        "no positions": {"model.positions": "none"},
        "no feed-forward": {"model.feed_forward": False},
        "no softmax": {"model.weights": "uniform"},
        "no causal mask": {"model.causal_mask": False},
    }
