"""Experiment configurations: `base` declares every key, every other file is a delta over it."""
