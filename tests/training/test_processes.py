"""Several processes, each with some devices and some rows, make the same steps as one process."""

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
def test_training_does_not_depend_on_the_processes(mode: str, count: int, tmp_path: pathlib.Path) -> None:
    run = pod.Pod(count, ["tests.training.processes", str(tmp_path), mode], tmp_path / "run", devices=4 // count)
    assert run.wait_for_exit() == [0] * count, run.log_text()
    single = train("one", Bag, bag_params(VOCABULARY))
    results = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(count)]
    for number, result in enumerate(results):
        assert result["devices"] == 4
        assert result["share"] == [number * 4 // count, (number + 1) * 4 // count]
        assert result["leader"] == (number == 0)
        assert result["seen"]
        np.testing.assert_allclose(result["losses"], single.losses, rtol=1e-5)
        assert result["evaluated"] == results[0]["evaluated"]
        assert result["rows"] == batch(5)[0].tolist(), "every process has the rows of all"
    (step,) = manifest.checkpoint_steps(tmp_path / "checkpoints")
    assert manifest.first_fault(tmp_path / "checkpoints" / str(step)) is None
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    restored = checkpoints.restore(step, jax.eval_shape(lambda: single.state))
    checkpoints.close()
    for result, expected in zip(jax.tree.leaves(restored), jax.tree.leaves(single.state), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
