"""Sweeps over variants and seeds, hyperparameter searches, and their reports."""
