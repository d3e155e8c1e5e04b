"""Learning rate and dropout, for comparisons of architectures: each gets the same space and number of trials.

    python -m experiments.search --config=configs/multi30k.py:fast --space=configs/search_spaces/tuning.py \
        --trials=8 --metric=loss --workers=2 --workdir=runs/tuning-transformer

Run it for each architecture with its config and the same number of trials, and compare the best settings of all in a
sweep. The values are chosen on validation; all other settings are those of the config.
"""

from typing import Any


def suggest(trial: Any) -> dict[str, Any]:
    """Draws the peak learning rate, log-uniform from 5e-4 to 1.6e-2, and dropout from 0 to 0.4."""
    dropout = trial.suggest_float("dropout", 0.0, 0.4)
    return {
        "train.learning_rate": trial.suggest_float("learning_rate", 5e-4, 1.6e-2, log=True),
        "model.dropout_embedding": dropout,
        "model.dropout_sublayer": dropout,
    }
