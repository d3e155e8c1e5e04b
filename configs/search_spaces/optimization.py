"""How a model is trained: the learning rate and what goes with it.

    python -m experiments.search --config=configs/quickstart.py --space=configs/search_spaces/optimization.py --trials=20 \
        --workdir=runs/search

A file of configs/search_spaces has `suggest(trial)`, which draws from the space with Optuna's `trial.suggest_float`,
`suggest_int` and `suggest_categorical`, and returns changes to the base config, {"train.learning_rate": 1e-3}. What is
drawn may depend on what was drawn before.
"""

from typing import Any


def suggest(trial: Any) -> dict[str, Any]:
    """Optimizer, learning rate, warm-up, smoothing and dropout; the learning rate's range is the optimizer's."""
    optimizer = trial.suggest_categorical("optimizer", ["adam", "muon"])
    least, most = {"adam": (5e-4, 8e-3), "muon": (1e-3, 1e-2)}[optimizer]
    dropout = trial.suggest_float("dropout", 0.0, 0.3)
    return {
        "train.optimizer": optimizer,
        "train.learning_rate": trial.suggest_float(f"learning_rate_{optimizer}", least, most, log=True),
        "train.warmup_steps": trial.suggest_int("warmup_steps", 50, 500, log=True),
        "train.label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        "model.dropout_embedding": dropout,
        "model.dropout_sublayer": dropout,
    }
