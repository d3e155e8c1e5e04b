"""Which settings are arguments of the compiled training step, so that runs that differ in them share one program."""

from transformer.spec import Spec

# Settings in which the members of a population may differ; all others are part of the compiled program, of the data, or
# of what is done when. `transformer.training.step.hyperparams` has all of them but the seed, which is part of the state.
HYPERPARAMETERS = (
    "train.seed", "train.learning_rate", "train.adam_learning_rate", "train.warmup_steps", "train.adam_beta1",
    "train.adam_beta2", "train.adam_epsilon", "train.weight_decay", "train.label_smoothing", "train.ema_decay",
    "train.clip_norm",
    "model.dropout_embedding", "model.dropout_sublayer", "model.dropout_attention", "model.dropout_feed_forward",
    "model.dropout_word",
)  # fmt: skip


def program_key(spec: Spec) -> str:
    """Equal for two specs whose runs can be trained together in one program over a mesh."""
    config = spec.to_dict()
    for key in HYPERPARAMETERS:
        section, _, name = key.partition(".")
        del config[section][name]
    # Whether there is an average, a limit to gradients or a decay is part of the program.
    return repr((config, spec.train.ema_decay > 0, spec.train.clip_norm is None, spec.train.weight_decay > 0))
