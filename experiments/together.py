"""Which runs can be trained together in one program: those that differ in numbers that it takes as arguments."""

from collections.abc import Iterator, Sequence

from experiments.cells import Cell
from experiments.workdir import Workdir
from transformer.spec import Spec

# Settings in which the members of a population may differ; all others are part of the compiled program, of the data, or
# of what is done when. `transformer.training.step.numbers` has them all, but for the seed, which is in the state.
NUMBERS = (
    "train.seed", "train.learning_rate", "train.adam_learning_rate", "train.warmup_steps", "train.adam_beta1",
    "train.adam_beta2", "train.adam_epsilon", "train.weight_decay", "train.label_smoothing", "train.ema_decay",
    "train.clip_norm",
    "model.dropout_embedding", "model.dropout_sublayer", "model.dropout_attention", "model.dropout_feed_forward",
    "model.dropout_word",
)  # fmt: skip
LARGEST = 8  # members of a population, unless a number is asked for


def kind(spec: Spec) -> str:
    """What runs must have in common to be trained together over a mesh: equal for two specs that can be."""
    config = spec.to_dict()
    for key in NUMBERS:
        section, _, name = key.partition(".")
        del config[section][name]
    # Whether there is an average, a limit to gradients or a decay is part of the program.
    return repr((config, spec.train.ema_decay > 0, spec.train.clip_norm is None, spec.train.weight_decay > 0))


def groups(cells: Sequence[Cell], size: int) -> Iterator[list[Cell]]:
    """The cells in groups of at most `size` that can be trained together from one step on, in their order."""
    waiting: dict[object, list[tuple[set[int], list[Cell]]]] = {}
    for cell in cells:
        # What pmap and a divided model share among devices is not members; under vmap a step that only adds up
        # gradients works out the update all the same; and going back is for one alone.
        spec = cell.spec
        where = spec.parallel
        divided = where.mode == "pmap" or where.fsdp * where.tensor > 1
        alone = size < 2 or divided or spec.train.accumulate > 1 or spec.train.on_nonfinite == "rollback"
        steps = Workdir(cell.path).steps()
        alike = waiting.setdefault(cell.name if alone else kind(cell.spec), [])
        for common, group in alike:
            # New ones go with new ones, others with those that have a checkpoint of one step.
            if len(group) < size and (common & steps or not (common or steps)):
                common &= steps
                group.append(cell)
                break
        else:
            alike.append((steps, [cell]))
    yield from (group for alike in waiting.values() for _, group in alike)
