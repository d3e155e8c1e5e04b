"""Trains a run, or several in one program: what they are given by devices, from the newest checkpoint to the end."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runs.program_key import program_key
from experiments.runs.run import Run
from experiments.runtime import preflight
from transformer.data.batches import loader
from transformer.data.batches.loader import BatchSource, StackedBatches
from transformer.data.batches.plan import BatchPlan
from transformer.training import loop, population
from transformer.training.aot import Shape, ShapedStep
from transformer.training.parallel import MeshPlacement, PopulationPlacement
from transformer.training.state import TrainState


class _Crew(NamedTuple):
    """Where and on what runs are trained: one as it is, or several stacked.

    Attributes:
      placement: the devices.
      numbers: settings that are arguments of the compiled step.
      batches: by number.
      shapes: of one run's state → of the whole.
      join: the states of all runs → the whole.
      member: (whole, number) → the state of one run.
    """

    placement: MeshPlacement
    numbers: Any
    batches: BatchSource
    shapes: Callable[[Any], Any]
    join: Callable[[Sequence[TrainState]], Any]
    member: Callable[[Any, int], TrainState]


def _crew(runs: Sequence[Run]) -> _Crew:
    first, placement = runs[0], runs[0].system.placement
    if len(runs) == 1:
        return _Crew(
            placement,
            first.system.numbers,
            first.plan,
            shapes=lambda one: one,
            join=lambda states: states[0],
            member=lambda whole, _: placement.host(whole),
        )
    return _Crew(
        PopulationPlacement(len(runs), options=placement.options),
        population.numbers([run.spec for run in runs]),
        StackedBatches(tuple(run.plan for run in runs)),
        shapes=lambda one: population.shapes(one, len(runs)),
        join=population.stack,
        member=population.member,
    )


def train(runs: Sequence[Run]) -> None:
    """Trains one run, or several with different hyperparameters in one program, from the newest checkpoint to the end.

    A pretrained model is saved first, as the checkpoint of step 0.

    Raises:
      ValueError: runs that cannot be trained together: they differ in more, or are not equally far.
      DivergenceError: gradients are not finite, and the settings do not say to roll back.
    """
    for run in runs:
        run.save_pretrained()
    if not runs[0].spec.train.steps:  # evaluates a pretrained model as it is
        for run in runs:
            run.describe()
            run.begin(0)
        return
    with runs[0].interrupts.guarded():
        while True:
            try:
                _train(runs)
                return
            except loop.DivergenceError as error:
                if runs[0].spec.train.on_nonfinite != "rollback":
                    raise
                runs[0].roll_back(error)
            finally:
                for run in runs:
                    run.checkpoints.wait()


def _train(runs: Sequence[Run]) -> None:
    """Trains from the newest checkpoint to the end, or to what ends it."""
    if len({program_key(run.spec) for run in runs}) > 1:
        raise ValueError("runs that differ in more than numbers cannot be trained together")
    newest = _common_step(runs)
    first, crew = runs[0], _crew(runs)
    system, spec = first.system, first.spec
    saved = [] if newest is None else [run.restored(newest) for run in runs]
    position = int(saved[0].batch) if saved else 0
    shapes = _shapes_by_need(first.plan, position, crew.placement)
    loader.import_grain()  # not beside the threads that compile
    # The first shapes are being compiled while parameters are drawn.
    step = crew.placement.compile_shapes(
        system.learner,
        system.spec.train,
        crew.shapes(system.state_shapes()),
        crew.numbers,
        shapes,
        first.interrupts.check,
    )
    states = saved or [run.system.fresh_state() for run in runs]
    start = int(states[0].step)
    factor = first.learning_rate_factor(start)  # of a run that is alone: populations do not roll back
    numbers = crew.numbers | {"learning_rate": crew.numbers["learning_rate"] * np.float32(factor)}
    first.describe()
    if len(runs) > 1:
        first.watch.line(f"{len(runs)} runs are trained together")
    if start:
        before, now = first.devices_before, len(jax.devices())
        elsewhere = f" on {now} devices, before on {before}: the same batches, sums in another order"
        first.watch.line(f"continuing after step {start}" + (elsewhere if before not in (0, now) else ""))
    batches = system.batches(crew.batches, position, crew.placement)
    state, numbers = (crew.placement.distribute(tree) for tree in (crew.join(states), numbers))
    del saved, states  # or a second copy would stay in memory as long as training takes
    with first.watch.since(start):
        if isinstance(step, ShapedStep):
            preflight.memory(step, shapes, spec.data.tokens_per_batch, first.watch.line)
        members = [run.begin(start) for run in runs]
        try:
            loop.fit(spec, step, state, numbers, start, batches, members, crew.member)
        finally:
            for run in runs:
                run.recorder.flush()


def _common_step(runs: Sequence[Run]) -> int | None:
    """The newest step that all have a checkpoint of; one may have been killed between the saves of two of them.

    Raises:
      ValueError: some have checkpoints, but none of the same step.
    """
    steps = [set(run.checkpoints.steps()) for run in runs]
    common = set.intersection(*steps)
    if any(steps) and not common:
        raise ValueError("runs that are not equally far cannot be trained together: no checkpoints of one step")
    return max(common, default=None)


def _shapes_by_need(plan: BatchPlan, position: int, placement: MeshPlacement) -> list[Shape]:
    """The plan's shapes as they are on devices: that of the next batch, the largest, and those of the batches after."""
    epoch = plan.batches_per_epoch()
    near = (plan.shape(number) for number in range(position, position + epoch))
    largest = max(plan.shapes, key=lambda shape: shape.cells)
    shapes = dict.fromkeys((plan.shape(position), largest, *near, *plan.shapes))
    return [(placement.rows(shape.rows), shape.source, shape.target) for shape in shapes]
