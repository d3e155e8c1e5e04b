"""Sizes and budgets that several architectures and sweeps come in: each a Transformer's whole config."""

from configs import multi30k, quickstart

SCALES = {
    "quickstart": quickstart.get_config,
    "multi30k": multi30k.get_config,
    "small": lambda: multi30k.get_config("small"),
}
