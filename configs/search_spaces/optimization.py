"""Optimisation: the learning rate and related settings.

    python -m experiments.search --config=configs/quickstart.py --space=configs/search_spaces/optimization.py \
        --trials=20 --workdir=runs/search

A file of configs/search_spaces defines `suggest(trial)`, which draws values with Optuna's `trial.suggest_float`,
`suggest_int` and `suggest_categorical` and returns changes to the base config, {"train.learning_rate": 1e-3}. A
draw may depend on earlier draws.
"""

from typing import Any


def suggest(trial: Any) -> dict[str, Any]:
    """Draws optimizer, learning rate, warm-up, smoothing and dropout; each optimizer has its own range of rates."""
    optimizer = trial.suggest_categorical("optimizer", ["adam", "muon"])
    lowest, highest = {"adam": (5e-4, 8e-3), "muon": (1e-3, 1e-2)}[optimizer]
    dropout = trial.suggest_float("dropout", 0.0, 0.3)
    return {
        "train.optimizer": optimizer,
        "train.learning_rate": trial.suggest_float(f"learning_rate_{optimizer}", lowest, highest, log=True),
        "train.warmup_steps": trial.suggest_int("warmup_steps", 50, 500, log=True),
        "train.label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        "model.dropout_embedding": dropout,
        "model.dropout_sublayer": dropout,
    }
