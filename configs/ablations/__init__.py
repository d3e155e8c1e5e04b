"""Ablations: a base config with one part taken away or changed at a time, see configs/variants.py."""
