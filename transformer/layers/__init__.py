"""Flax NNX modules, one concept per file; each receives its submodules as arguments."""
