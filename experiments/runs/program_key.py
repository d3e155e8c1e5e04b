"""The settings that are arguments of the compiled training step: runs that differ only in them share one program."""

from transformer.spec import Spec

# Settings in which the members of a population may differ. All others affect the compiled program, the data, or when
# things are done. `transformer.training.step.hyperparams` has all of them but the seed, which is part of the state.
HYPERPARAMETERS = (
    "train.seed", "train.learning_rate", "train.adam_learning_rate", "train.warmup_steps", "train.adam_beta1",
    "train.adam_beta2", "train.adam_epsilon", "train.weight_decay", "train.label_smoothing", "train.ema_decay",
    "train.clip_norm", "train.consistency", "train.cutoff_rate",
    "model.dropout_embedding", "model.dropout_sublayer", "model.dropout_attention", "model.dropout_feed_forward",
    "model.dropout_word",
)  # fmt: skip


def program_key(spec: Spec) -> str:
    """Returns a key that is equal for two specs whose runs can train jointly, as members of a population."""
    config = spec.to_dict()
    for key in HYPERPARAMETERS:
        section, _, name = key.partition(".")
        del config[section][name]
    # Whether averaging, gradient clipping, weight decay and consistency are on is part of the program; their values are
    # not.
    train = spec.train
    return repr((config, train.ema_decay > 0, train.clip_norm is None, train.weight_decay > 0, train.consistency > 0))
