"""Removes, replaces or adds one part of the Transformer at a time, for any base config with that architecture.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/ablations/anatomy.py --seeds=3 \
        --workdir=runs/anatomy
    python -m experiments.sweep --config=configs/multi30k.py:fast --sweep=configs/ablations/anatomy.py:fast --seeds=3 \
        --config.data.direction=en-fr --workdir=runs/anatomy-fast

"no softmax" gives every visible key the same weight; "no causal mask" only affects training, because a search has no
future tokens. "cosine scores" replaces Eq. 1's dot product by a cosine with a learned temperature. "no warm-up" keeps
the peak learning rate. "R-Drop" and "SimCut" train with two passes per update and take twice the time. The argument
names the base; parts that it lacks, such as the dropout of quickstart.py, are left out.
"""

from configs import variants
from configs.sizes import TRANSFORMERS

ARGUMENTS = tuple(TRANSFORMERS)
_NO_DROPOUT = dict.fromkeys(
    (f"model.dropout_{kind}" for kind in ("embedding", "sublayer", "attention", "feed_forward", "word")), 0.0
)


def get_sweep(size: str = "quickstart") -> variants.Sweep:
    """Returns the base, and the base without each of its parts.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"anatomy:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    base = TRANSFORMERS[size]()
    sweep: variants.Sweep = {
        "base": {},
        "one head": {"model.heads": 1},
        "no scaling": {"model.score_scale": "none"},
        "cosine scores": {"model.score": "cosine"},
        "no residual": {"model.residual": False},
        "no norm": {"model.norm": "none"},
        "post-norm": {"model.norm": "post"},
        "pre-norm": {"model.norm": "pre"},
        "no positions": {"model.positions": "none"},
        "learned positions": {"model.positions": "learned"},
        "rotary positions": {"model.positions": "rotary"},
        "ALiBi": {"model.positions": "alibi"},
        "relative positions": {"model.positions": "relative"},
        "no feed-forward": {"model.feed_forward": False},
        "no softmax": {"model.weights": "uniform"},
        "no causal mask": {"model.causal_mask": False},
        "no embedding scale": {"model.scale_embeddings": False},
        "untied embeddings": {"model.tie_embeddings": False},
        "no dropout": _NO_DROPOUT,
        "no label smoothing": {"train.label_smoothing": 0.0},
        "no warm-up": {"train.warmup_steps": 1},
        "SimCut": {"train.consistency": 1.0, "train.consistency_kind": "simcut"},
    }
    if any(variants.value_of(base, key) for key in _NO_DROPOUT):
        sweep["R-Drop"] = {"train.consistency": 1.0}
    return variants.without_defaults(sweep, base)
