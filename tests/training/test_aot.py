"""A step for shapes of batches that are known beforehand."""

import re
import time
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np
import pytest

from tests.training.bag import Bag, bag_params
from tests.training.test_parallel import NUMBERS, SPEC, STEPS, VOCABULARY, Counted, batch, fresh_state, train
from transformer.training.aot import ShapedStep
from transformer.training.parallel import MeshPlacement
from transformer.training.state import Model


@pytest.mark.parametrize("place", ["one", "mesh"])
def test_shapes_that_are_known_are_compiled_ahead(place: str) -> None:
    """Each program is made before its batch comes, and no other is made later; the steps are the same."""
    expected, model = train(place, Bag, bag_params(VOCABULARY)), Counted(Bag)
    placement = expected.placement
    state, numbers = placement.distribute(fresh_state(bag_params(VOCABULARY))), placement.distribute(NUMBERS)
    shapes = [(2, 7, 7), (6, 5, 5)]
    step = placement.compile_shapes(cast(Model, model), SPEC.train, state, numbers, shapes)
    losses = []
    for number in range(STEPS):
        arrays = map(placement.shard, batch(number))
        state, sums = step(state, *arrays, numbers)
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
    np.testing.assert_allclose(losses, expected.losses, rtol=1e-6)
    state, sums = step(state, *map(placement.shard, batch(0, 2, 7)), numbers)
    assert np.isfinite(sums.sums.loss)
    assert model.traces == len(shapes)
    with pytest.raises(ValueError, match=re.escape("batch of shape (4, 5, 5), which is none of the 2")):
        step(state, *map(placement.shard, batch(0, 4, 5)), numbers)


class Slow:
    """What compiles takes its time."""

    def lower(self, *shapes: Any) -> "Slow":
        time.sleep(0.7)
        return self

    def compile(self) -> Callable[..., Any]:
        return lambda state, *rest: (state, None)


def test_who_waits_for_a_program_looks_up_now_and_then() -> None:
    """A signal that comes while a program is compiled is heeded then, and not minutes later."""
    placement = MeshPlacement(jax.devices()[:1])
    looks = []

    def check() -> None:
        looks.append(time.monotonic())
        if len(looks) == 2:
            raise KeyboardInterrupt

    zero = np.zeros((), np.float32)
    step = ShapedStep(Slow(), zero, zero, placement.laid, placement.by_row, [(2, 3, 3)], check=check)
    rows = placement.shard(np.zeros((2, 3), np.int32))
    with pytest.raises(KeyboardInterrupt):
        step(zero, rows, rows, zero)
    assert len(looks) == 2
    looks += [0.0, 0.0]
    assert step(zero, rows, rows, zero)[0] is zero
