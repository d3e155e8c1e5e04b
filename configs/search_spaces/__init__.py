"""Search spaces for Optuna; see optimization.py."""
