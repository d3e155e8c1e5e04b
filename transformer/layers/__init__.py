"""Flax NNX modules, one idea a file; each takes its parts as arguments."""
