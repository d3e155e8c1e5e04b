"""Which runs can be trained together in one program: those that differ in numbers that it takes as arguments."""

from collections.abc import Iterator, Sequence

from experiments.runs.program_key import program_key
from experiments.runs.workdir import Workdir
from experiments.sweeps.cells import Cell

LARGEST = 8  # members of a population, unless a number is asked for


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
        alike = waiting.setdefault(cell.name if alone else program_key(cell.spec), [])
        for common, group in alike:
            # New ones go with new ones, others with those that have a checkpoint of one step.
            if len(group) < size and (common & steps or not (common or steps)):
                common &= steps
                group.append(cell)
                break
        else:
            alike.append((steps, [cell]))
    yield from (group for alike in waiting.values() for _, group in alike)
