"""A step for shapes of batches that are known beforehand."""

import re
import time
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np
import pytest

from tests.training.bag import Bag, bag_params
from tests.training.test_parallel import HYPERPARAMS, SPEC, STEPS, VOCABULARY, Counted, batch, fresh_state, train
from transformer.training.aot import CompiledSteps, Program
from transformer.training.parallel import MeshPartitioner
from transformer.training.state import ModelDef


@pytest.mark.parametrize("mode", [pytest.param("one", marks=pytest.mark.slow), "mesh"])
def test_announced_shapes_are_compiled_ahead_of_time(mode: str) -> None:
    """Each program is made before its batch comes, and no other is made later; the steps are the same."""
    expected, model = train(mode, Bag, bag_params(VOCABULARY)), Counted(Bag)
    partitioner = expected.partitioner
    state, hyperparams = partitioner.put_state(fresh_state(bag_params(VOCABULARY))), partitioner.put_state(HYPERPARAMS)
    shapes = [(2, 7, 7), (6, 5, 5)]
    step = partitioner.compile_step_aot(cast(ModelDef, model), SPEC.train, state, hyperparams, shapes)
    losses = []
    for number in range(STEPS):
        arrays = map(partitioner.shard, batch(number))
        state, sums = step(state, *arrays, hyperparams)
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
    np.testing.assert_allclose(losses, expected.losses, rtol=1e-6)
    state, sums = step(state, *map(partitioner.shard, batch(0, 2, 7)), hyperparams)
    assert np.isfinite(sums.sums.loss)
    assert model.traces == len(shapes)
    with pytest.raises(ValueError, match=re.escape("(4, 5, 5)") + ".* 2 "):
        step(state, *map(partitioner.shard, batch(0, 4, 5)), hyperparams)


class Slow:
    """A step whose compilation takes time."""

    def lower(self, *shapes: Any) -> "Slow":
        time.sleep(0.7)
        return self

    def compile(self) -> Callable[..., Any]:
        return lambda state, *others: (state, None)


def test_a_step_waits_for_its_program_as_the_caller_says() -> None:
    """A signal that arrives during compilation is handled at once, and not minutes later."""
    partitioner = MeshPartitioner(jax.devices()[:1])
    waits = []

    def wait(program: Program) -> None:
        waits.append(program.done())
        if len(waits) == 1:
            raise KeyboardInterrupt

    zero = np.zeros((), np.float32)
    step = CompiledSteps(Slow(), zero, zero, partitioner.abstract, partitioner.batch_sharding, [(2, 3, 3)], wait=wait)
    rows = partitioner.shard(np.zeros((2, 3), np.int32))
    with pytest.raises(KeyboardInterrupt):
        step(zero, rows, rows, zero)
    assert step(zero, rows, rows, zero)[0] is zero
    assert waits == [False, False]
    assert step(zero, rows, rows, zero)[0] is zero
    assert waits == [False, False]
