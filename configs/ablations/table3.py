"""Table 3 of Vaswani et al. 2017: all rows, (A) to (E) and big, at the published size or scaled to a small config.

A row is named by its change to the base: "C d_ff x2" has twice the base's d_ff. The report lists the published values
for English to German, newstest2013, next to ours: perplexity per word piece, BLEU, millions of parameters.

    python -m experiments.sweep --config=configs/multi30k.py --sweep=configs/ablations/table3.py:multi30k --seeds=3 \
        --workdir=runs/table3
    python -m experiments.sweep --config=configs/multi30k.py:small --sweep=configs/ablations/table3.py:small --seeds=3 \
        --workdir=runs/table3-small
    python -m experiments.sweep --config=configs/wmt14_en_de.py:base --sweep=configs/ablations/table3.py --seeds=1 \
        --splits=validation --workdir=runs/table3-published
"""

from ml_collections import ConfigDict

from configs import variants, wmt14_en_de
from configs.sizes import TRANSFORMERS

ARGUMENTS = ("published", *TRANSFORMERS)

PUBLISHED = {
    "base": {"perplexity": 4.92, "bleu": 25.8, "parameters": 65},
    "A heads x0.125": {"perplexity": 5.29, "bleu": 24.9},
    "A heads x0.5": {"perplexity": 5.00, "bleu": 25.5},
    "A heads x2": {"perplexity": 4.91, "bleu": 25.8},
    "A heads x4": {"perplexity": 5.01, "bleu": 25.4},
    "B d_k x0.25": {"perplexity": 5.16, "bleu": 25.1, "parameters": 58},
    "B d_k x0.5": {"perplexity": 5.01, "bleu": 25.4, "parameters": 60},
    "C layers x0.33": {"perplexity": 6.11, "bleu": 23.7, "parameters": 36},
    "C layers x0.67": {"perplexity": 5.19, "bleu": 25.3, "parameters": 50},
    "C layers x1.33": {"perplexity": 4.88, "bleu": 25.5, "parameters": 80},
    "C d_model x0.5": {"perplexity": 5.75, "bleu": 24.5, "parameters": 28},
    "C d_model x2": {"perplexity": 4.66, "bleu": 26.0, "parameters": 168},
    "C d_ff x0.5": {"perplexity": 5.12, "bleu": 25.4, "parameters": 53},
    "C d_ff x2": {"perplexity": 4.75, "bleu": 26.2, "parameters": 90},
    "D dropout 0.0": {"perplexity": 5.77, "bleu": 24.6},
    "D dropout 0.2": {"perplexity": 4.95, "bleu": 25.5},
    "D smoothing 0.0": {"perplexity": 4.67, "bleu": 25.3},
    "D smoothing 0.2": {"perplexity": 5.47, "bleu": 25.7},
    "E learned positions": {"perplexity": 4.92, "bleu": 25.7},
    "big": {"perplexity": 4.33, "bleu": 26.4, "parameters": 213},
}


def get_sweep(size: str = "published") -> variants.Sweep:
    """Returns the rows, as changes to wmt14_en_de.py:base, quickstart.py, or multi30k.py and its :small and :fast.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"table3:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    config = (TRANSFORMERS | {"published": wmt14_en_de.get_config})[size]()
    rows: variants.Sweep = {"base": {}}
    rows |= {f"A heads x{factor:g}": _heads(config, factor) for factor in (0.125, 0.5, 2, 4)}
    rows |= {f"B d_k x{factor:g}": {"model.d_k": _key_size(config, factor)} for factor in (0.25, 0.5)}
    rows |= {f"C layers x{factor:.2f}": _layers(config, factor) for factor in (1 / 3, 2 / 3, 4 / 3)}
    rows |= {f"C d_model x{factor:g}": {"model.d_model": _scaled(config, "d_model", factor)} for factor in (0.5, 2)}
    rows |= {f"C d_ff x{factor:g}": {"model.d_ff": _scaled(config, "d_ff", factor)} for factor in (0.5, 2)}
    rows |= {f"D dropout {rate}": _dropout(rate) for rate in (0.0, 0.2)}
    rows |= {f"D smoothing {rate}": {"train.label_smoothing": rate} for rate in (0.0, 0.2)}
    rows["E learned positions"] = {"model.positions": "learned"}
    doubled = {f"model.{key}": _scaled(config, key, 2) for key in ("d_model", "d_ff", "heads")}
    rows["big"] = doubled | _dropout(0.3) | {"train.steps": 3 * variants.value_of(config, "train.steps")}
    return variants.without_defaults(rows, config)


def _scaled(config: ConfigDict, key: str, factor: float) -> int:
    return max(1, round(variants.value_of(config, f"model.{key}") * factor))


def _heads(config: ConfigDict, factor: float) -> dict[str, int]:
    """Returns another number of heads; the total width of keys and values stays the same."""
    return {"model.heads": _scaled(config, "heads", factor)}


def _key_size(config: ConfigDict, factor: float) -> int:
    return max(1, round(variants.value_of(config, "model.d_model") / variants.value_of(config, "model.heads") * factor))


def _layers(config: ConfigDict, factor: float) -> dict[str, int]:
    return {f"model.{key}": _scaled(config, key, factor) for key in ("encoder_layers", "decoder_layers")}


def _dropout(rate: float) -> dict[str, float]:
    return {"model.dropout_embedding": rate, "model.dropout_sublayer": rate}
