"""Configs: `base` declares every key; all others are deltas over it. README.md lists them."""
