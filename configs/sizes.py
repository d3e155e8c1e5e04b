"""Sizes and budgets shared by several architectures and sweeps: a complete Transformer config for each name."""

from configs import multi30k, quickstart

SIZES = {
    "quickstart": quickstart.get_config,
    "multi30k": multi30k.get_config,
    "small": lambda: multi30k.get_config("small"),
}
TRANSFORMERS = SIZES | {"fast": lambda: multi30k.get_config("fast")}  # also with packed rows, which only they support
