"""Sweeps: several variants of a base config; see configs/variants.py."""
