"""Searches: spaces that Optuna draws settings from, see optimization.py."""
