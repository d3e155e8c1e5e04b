"""Small grids for what the papers conjecture about the parts of the Transformer. The argument chooses a grid.

`:scaling` (Section 3.2.1, footnote 4): d_k from 8 to 128, with and without 1 / √d_k; values keep their width.
`:depth` (Sections 3.1, 5.3; Xiong et al. 2020): 2, 6 and 12 layers × norm × residual × warm-up: what trains at all.
`:heads` (Table 3 A): 1 to 32 heads that share the same total width.
`:scores` (Bahdanau et al. 2015; Section 3.2.1): additive, dot and scaled dot, in RNNsearch and in the Transformer.
`:smoothing` (Section 5.4): label smoothing, which raises perplexity and BLEU; for any base.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/mechanisms.py:scaling --seeds=3 \
        --config.parallel.cpu_devices=1 --workdir=runs/scaling
    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/mechanisms.py:depth --seeds=1 \
        --config.train.steps=600 --config.model.d_model=64 --config.model.d_ff=128 --config.parallel.cpu_devices=1 \
        --workdir=runs/depth
    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/mechanisms.py:heads --seeds=3 \
        --config.parallel.cpu_devices=1 --workdir=runs/heads
    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/mechanisms.py:scores --seeds=3 \
        --config.train.optimizer=muon --config.parallel.cpu_devices=1 --workdir=runs/scores
    python -m experiments.sweep --config=configs/multi30k.py:fast --sweep=configs/sweeps/mechanisms.py:smoothing \
        --config.data.direction=en-fr --seeds=3 --config.parallel.cpu_devices=1 --workdir=runs/smoothing

Sweeps on source reversal by sentence length (Sutskever et al. 2014, Section 3.3) are those of lineage.py.
"""

from configs import quickstart, rnnsearch, variants

KEY_SIZES = (8, 16, 32, 64, 128)
DEPTHS = (2, 6, 12)
HEADS = (1, 2, 4, 8, 16, 32)
SMOOTHING = (0.0, 0.05, 0.1, 0.2, 0.3)


def _scaling() -> variants.Sweep:
    sizes = variants.axis("model.d_k", KEY_SIZES)
    sizes = {name: changes | {"model.d_v": 32} for name, changes in sizes.items()}
    return variants.product(sizes, variants.axis("model.score_scale", ("sqrt_d_k", "none"), "scale"))


def _depth() -> variants.Sweep:
    layers = variants.zip_(
        variants.axis("model.encoder_layers", DEPTHS, "layers"), variants.axis("model.decoder_layers", DEPTHS)
    )
    layers = {name.split()[0]: changes for name, changes in layers.items()}
    norms = variants.axis("model.norm", ("post", "pre", "none"))
    residual = {"": {"model.residual": True}, "no residual": {"model.residual": False}}
    warmup = {"": {"train.warmup_steps": 200}, "no warm-up": {"train.warmup_steps": 1}}
    return variants.product(layers, norms, residual, warmup)


def _heads() -> variants.Sweep:
    return variants.axis("model.heads", HEADS)


def _scores() -> variants.Sweep:
    recurrent = variants.difference(quickstart.get_config(), rnnsearch.get_config("quickstart"))
    recurrent = {key: value for key, value in recurrent.items() if key != "model.cross_score"}
    scores = {
        "additive": {"model.score": "additive"},
        "dot": {"model.score": "dot", "model.score_scale": "none"},
        "scaled dot": {"model.score": "dot", "model.score_scale": "sqrt_d_k"},
    }
    return variants.product({"rnnsearch": recurrent, "transformer": {}}, scores)


def _smoothing() -> variants.Sweep:
    return variants.axis("train.label_smoothing", SMOOTHING, "smoothing")


GRIDS = {"scaling": _scaling, "depth": _depth, "heads": _heads, "scores": _scores, "smoothing": _smoothing}
ARGUMENTS = tuple(GRIDS)


def get_sweep(grid: str = "scaling") -> variants.Sweep:
    """Returns the variants of a grid, for quickstart.py or a config with its widths.

    Raises:
      ValueError: unknown grid.
    """
    if grid not in GRIDS:
        raise ValueError(f"mechanisms:{grid}: the argument is one of {', '.join(ARGUMENTS)}")
    return GRIDS[grid]()
