"""Groups cells that can train as one population: they differ only in hyperparameters, arguments of the program."""

from collections.abc import Iterator, Sequence

from experiments.runs.program_key import program_key
from experiments.runs.workdir import Workdir
from experiments.sweeps.cells import Cell

MAX_MEMBERS = 8  # of a population, where --population gives no number


def groups(cells: Sequence[Cell], size: int) -> Iterator[list[Cell]]:
    """Yields groups of at most `size` cells that can train jointly from a common step, in their order."""
    groups_by_key: dict[object, list[tuple[set[int], list[Cell]]]] = {}
    for cell in cells:
        # pmap and sharded models use the devices that would hold other members; under vmap, a step that only
        # accumulates gradients would compute the update anyway; and a rollback applies to a single run.
        spec, parallel = cell.spec, cell.spec.parallel
        uses_devices = parallel.mode == "pmap" or parallel.shards_params
        single = size < 2 or uses_devices or spec.train.accumulate > 1 or spec.train.on_nonfinite == "rollback"
        steps = Workdir(cell.path).steps()
        candidates = groups_by_key.setdefault(cell.name if single else program_key(cell.spec), [])
        for common_steps, group in candidates:
            # Cells without checkpoints join such cells; others join cells that have a checkpoint of the same step.
            if len(group) < size and (common_steps & steps or not (common_steps or steps)):
                common_steps &= steps
                group.append(cell)
                break
        else:
            candidates.append((steps, [cell]))
    yield from (group for candidates in groups_by_key.values() for _, group in candidates)
