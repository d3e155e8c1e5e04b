"""Several processes, each with some of the devices and some of the rows, take the steps of one."""

import json
import pathlib

import jax
import numpy as np
import pytest

from tests import pod
from tests.training.bag import Bag, bag_params
from tests.training.test_parallel import VOCABULARY, batch, train
from transformer.training import manifest
from transformer.training.checkpoint import Checkpoints


@pytest.mark.parametrize("mode", ["mesh", pytest.param("pmap", marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_do_not_change_what_is_learned(mode: str, count: int, tmp_path: pathlib.Path) -> None:
    run = pod.Pod(count, ["tests.training.processes", str(tmp_path), mode], tmp_path / "run", devices=4 // count)
    assert run.end() == [0] * count, run.said()
    one = train("one", Bag, bag_params(VOCABULARY))
    each = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(count)]
    for number, found in enumerate(each):
        assert found["devices"] == 4
        assert found["share"] == [number * 4 // count, (number + 1) * 4 // count]
        assert found["leader"] == (number == 0)
        assert found["seen"]
        np.testing.assert_allclose(found["losses"], one.losses, rtol=1e-5)
        assert found["evaluated"] == each[0]["evaluated"]
        assert found["rows"] == batch(5)[0].tolist(), "every process has the rows of all"
    (step,) = manifest.steps(tmp_path / "checkpoints")
    assert manifest.damage(tmp_path / "checkpoints" / str(step)) is None
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    kept = checkpoints.restore(step, jax.eval_shape(lambda: one.state))
    checkpoints.close()
    for found, expected in zip(jax.tree.leaves(kept), jax.tree.leaves(one.state), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
