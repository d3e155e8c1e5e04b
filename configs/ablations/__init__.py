"""Ablations: sweeps that remove or change one part of a base config at a time; see configs/variants.py."""
