"""Trains a run, or a population of runs in one program, from the newest checkpoint to the end."""

import concurrent.futures
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runs import evaluation_memory, goodput
from experiments.runs.profile import ProfiledSteps
from experiments.runs.program_key import program_key
from experiments.runs.run import Run
from experiments.runtime import preflight
from transformer.data.batches import loader
from transformer.data.batches.loader import BatchSource, StackedBatches
from transformer.data.batches.plan import BatchPlan
from transformer.training import loop, population
from transformer.training.aot import CompiledSteps, Program, StepShape
from transformer.training.parallel import MeshPartitioner, PopulationPartitioner
from transformer.training.state import TrainState

_POLL_SECONDS = 0.2  # between two looks for a signal while a program compiles

Step = Callable[..., Any]  # (state, source_BS, target_BT, hyperparams) → (state, sums)


class _Setup(NamedTuple):
    """The inputs of the training loop, for a single run or for the stacked members of a population.

    Attributes:
      partitioner: places arrays on devices.
      hyperparams: settings that are arguments of the compiled step.
      batches: batches by number.
      stack_shapes: shapes of one run's state → shapes of the stacked state.
      stack: states of all runs → the stacked state.
      member: (stacked state, number) → the state of one run.
    """

    partitioner: MeshPartitioner
    hyperparams: Any
    batches: BatchSource
    stack_shapes: Callable[[Any], Any]
    stack: Callable[[Sequence[TrainState]], Any]
    member: Callable[[Any, int], TrainState]


def _setup(runs: Sequence[Run]) -> _Setup:
    first, partitioner = runs[0], runs[0].system.partitioner
    if len(runs) == 1:
        return _Setup(
            partitioner,
            first.system.hyperparams,
            first.plan,
            stack_shapes=lambda shapes: shapes,
            stack=lambda states: states[0],
            member=lambda state, _: partitioner.unreplicate(state),
        )
    return _Setup(
        PopulationPartitioner(len(runs), options=partitioner.options, matmul_precision=partitioner.matmul_precision),
        population.hyperparams([run.spec for run in runs]),
        StackedBatches(tuple(run.plan for run in runs)),
        stack_shapes=lambda shapes: population.stacked_shapes(shapes, len(runs)),
        stack=population.stack,
        member=population.member,
    )


def train(runs: Sequence[Run], profiled: range = range(0)) -> None:
    """Trains a single run, or a population of runs in one program, from the newest checkpoint to the end.

    A pretrained model is saved first, as the checkpoint of step 0.

    Args:
      runs: the runs.
      profiled: updates to trace, into `Workdir.profile` of the first run.

    Raises:
      ValueError: the runs differ in more than hyperparameters, or have no checkpoint of a common step.
      DivergenceError: gradients are not finite, and `train.on_nonfinite` is not "rollback", or there were
        `train.rollback_limit` rollbacks.
    """
    for run in runs:
        run.save_pretrained()
    if not runs[0].spec.train.steps:  # no updates: only evaluates a pretrained model
        for run in runs:
            run.describe()
            run.start(run.latest_step() or 0)
        return
    with runs[0].shared.interrupts.deferred():
        while True:
            try:
                _train(runs, profiled)
                return
            except loop.DivergenceError as error:
                if runs[0].spec.train.on_nonfinite != "rollback":
                    raise
                runs[0].roll_back(error)
            finally:
                with runs[0].shared.stopwatch.phase(goodput.SAVING):
                    for run in runs:
                        run.checkpoints.wait()


def _train(runs: Sequence[Run], profiled: range) -> None:
    """Trains from the newest checkpoint until the end, an error, a signal or a divergence."""
    if len({program_key(run.spec) for run in runs}) > 1:
        raise ValueError("runs that differ in more than hyperparameters cannot train as a population")
    newest = _common_step(runs)
    first, setup = runs[0], _setup(runs)
    system, spec = first.system, first.spec
    restored = [] if newest is None else [run.restore(newest) for run in runs]
    position = int(restored[0].batch) if restored else 0
    shapes = _shapes_by_need(first.plan, position, setup.partitioner)
    loader.import_grain()  # before threads compile: its import would break imports in other threads
    # The first shapes compile while parameters are initialised.
    step = setup.partitioner.compile_step_aot(
        system.training_model,
        system.spec.train,
        setup.stack_shapes(system.state_shapes()),
        setup.hyperparams,
        shapes,
        lambda program: _wait(program, first),
    )
    states = restored or [run.system.initial_state() for run in runs]
    start = int(states[0].step)
    factor = first.learning_rate_factor(start)  # 1 for populations, which do not roll back
    hyperparams = setup.hyperparams | {"learning_rate": setup.hyperparams["learning_rate"] * np.float32(factor)}
    _describe(runs, start)
    stopwatch = first.shared.stopwatch
    batches = stopwatch.waiting(system.batches(setup.batches, position, setup.partitioner))
    state, hyperparams = (setup.partitioner.put_state(tree) for tree in (setup.stack(states), hyperparams))
    del restored, states  # otherwise a second copy would stay in memory during training
    with first.progress.starting_at(start):
        if isinstance(step, CompiledSteps):
            preflight.check_memory(step, shapes, spec.data.tokens_per_batch, first.progress.print)
            _check_evaluation_memory(first, step.memory_bytes(shapes[0])[0])
        members = [run.start(start) for run in runs]
        try:
            with stopwatch.phase(goodput.STEPS), _profiled(step, profiled, start, first) as step:
                loop.fit(spec, step, state, hyperparams, start, batches, members, setup.member)
        finally:
            for run in runs:
                run.recorder.flush()


def _wait(program: Program, run: Run) -> None:
    """Waits until a program is compiled, or a signal arrives."""
    with run.shared.stopwatch.phase(goodput.COMPILATION):
        while not program.done():
            run.shared.interrupts.check()
            concurrent.futures.wait([program], timeout=_POLL_SECONDS)


def _profiled(step: Step, updates: range, start: int, run: Run) -> contextlib.AbstractContextManager[Step]:
    """Returns a context with the step, which traces `updates` if there are any."""
    if not updates:
        return contextlib.nullcontext(step)
    return ProfiledSteps(step, updates, start, run.spec.train.accumulate, run.workdir.profile, run.progress.print)


def _check_evaluation_memory(run: Run, state: int) -> None:
    """Checks that validation and the final search fit into memory next to `state` bytes of training."""
    system, pairs = run.system, run.shared.validation
    longest = max(range(len(pairs)), key=lambda index: max(map(len, pairs[index])))
    place = f"data.validation_split={run.spec.data.validation_split}, line {longest + 1}"
    evaluation_memory.check_loss(system, run.shared.validation_batches, run.plan.shapes, place, state)
    evaluation_memory.check_search(run.scoring_system, run.spec.decode, state)


def _describe(runs: Sequence[Run], start: int) -> None:
    """Prints the runs that train, and the update from which they continue."""
    first = runs[0]
    first.describe()
    if len(runs) > 1:
        first.progress.print(f"a population of {len(runs)} runs")
    if start:
        before, now = first.devices_before, len(jax.devices())
        note = f" on {now} devices, before on {before}: the same batches, sums in another order"
        first.progress.print(f"continuing after step {start}" + (note if before not in (0, now) else ""))


def _common_step(runs: Sequence[Run]) -> int | None:
    """Returns the newest step that all runs have a checkpoint of; a run may have been killed between two saves.

    Raises:
      ValueError: some have checkpoints, but none of the same step.
    """
    steps = [set(run.checkpoints.steps()) for run in runs]
    common = set.intersection(*steps)
    if any(steps) and not common:
        raise ValueError("runs without checkpoints of a common step cannot train as a population")
    return max(common, default=None)


def _shapes_by_need(plan: BatchPlan, position: int, partitioner: MeshPartitioner) -> list[StepShape]:
    """Returns the shapes of the plan's batches on devices: the next batch's, the largest, and those that follow."""
    epoch = plan.batches_per_epoch()
    following = (plan.shape(number) for number in range(position, position + epoch))
    largest = max(plan.shapes, key=lambda shape: shape.cells)
    shapes = dict.fromkeys((plan.shape(position), largest, *following, *plan.shapes))
    return [(partitioner.padded_rows(shape.rows), shape.source, shape.target) for shape in shapes]
