"""An interruption at any update does not change the parameters that are tested."""

import pathlib
from collections.abc import Iterator
from typing import Any, cast

import jax
import numpy as np
import pytest

from configs import base
from tests.training.bag import Bag, bag_params
from transformer.data.token_dataset import Batch
from transformer.spec import Spec
from transformer.training import loop
from transformer.training import step as steps
from transformer.training.checkpoint import Checkpoints, average_last, is_scheduled
from transformer.training.parallel import MeshPartitioner
from transformer.training.state import ModelDef, Params, TrainState

VOCABULARY, STEPS, EVERY, AVERAGED = 13, 14, 4, 3


def make_spec() -> Spec:
    config = base.get_config().to_dict()
    config["train"] |= {
        "steps": STEPS, "warmup_steps": 2, "learning_rate": 0.1, "ema_decay": 0.5, "average_checkpoints": AVERAGED,
        "log_every": 5,
    }  # fmt: skip
    config["evaluate"] |= {"every": 5}
    config["checkpoint"] |= {"every": EVERY, "keep": AVERAGED}
    return Spec.from_config(config)


SPEC = make_spec()
HYPERPARAMS = steps.hyperparams(SPEC.train, SPEC.model)
SCHEDULED = [4, 8, 12, 14]


def batches(start: int) -> Iterator[Batch]:
    for number in range(start, STEPS):
        source, target = np.random.default_rng(number).integers(1, VOCABULARY, (2, 6, 5)).astype(np.int32)
        yield Batch(source, target)


class Training:
    """Trains the stand-in model in a folder, from the newest checkpoint on."""

    partitioner = MeshPartitioner(jax.devices()[:1])
    step = staticmethod(partitioner.compile_step(cast(ModelDef, Bag), SPEC.train))

    def __init__(self, folder: pathlib.Path) -> None:
        self.checkpoints = Checkpoints(folder, SPEC.checkpoint.keep, scheduled=lambda step: is_scheduled(SPEC, step))
        self.params = cast(Params, bag_params(VOCABULARY))

    def train(self, interrupted_after: int | None = None) -> None:
        def check(update: int) -> None:
            if update == interrupted_after:
                raise KeyboardInterrupt

        key = jax.random.key_data(jax.random.key(7))
        state = steps.initial_state(self.params, SPEC.train, HYPERPARAMS, key)
        start = max(self.checkpoints.steps(), default=0)
        if start:
            state = self.checkpoints.restore(start, state)
        hooks = loop.Hooks(
            log=lambda update, values: None,
            evaluate=lambda update, state: {"loss": 1.0},
            save=self.checkpoints.save,
            best=lambda update, state: None,
            nonfinite=lambda update: None,
            progress=lambda update: None,
            clock=lambda: 0.0,
            check=check,
        )
        past = [{"loss": 1.0, "step": start}]
        member = lambda state, _: cast(TrainState, self.partitioner.unreplicate(state))  # noqa: E731
        state, hyperparams = map(self.partitioner.put_state, (state, cast(Any, HYPERPARAMS)))
        try:
            loop.fit(SPEC, self.step, state, hyperparams, start, batches(start), [(hooks, past)], member)
        finally:
            self.checkpoints.wait()

    def tested(self) -> tuple[Params, list[int]]:
        return average_last(self.checkpoints, AVERAGED, self.params)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(tmp_path_factory.mktemp("uninterrupted"))
    training.train()
    assert training.checkpoints.steps() == SCHEDULED[-AVERAGED:]
    return training


@pytest.mark.parametrize("interruptions", [(6,), (13,), (5, 9, 10, 12, 13)], ids=str)
def test_the_tested_parameters_do_not_depend_on_interruptions(
    interruptions: tuple[int, ...], uninterrupted: Training, tmp_path: pathlib.Path
) -> None:
    """An interruption's checkpoint neither enters the mean nor displaces a scheduled checkpoint."""
    training = Training(tmp_path)
    for update in interruptions:
        with pytest.raises(KeyboardInterrupt):
            training.train(update)
        scheduled = [step for step in SCHEDULED if step <= update]
        assert training.checkpoints.steps() == sorted({*scheduled[-AVERAGED:], update})
    training.train()
    (params, used), (expected, expected_steps) = training.tested(), uninterrupted.tested()
    assert used == expected_steps == SCHEDULED[-AVERAGED:]
    for name, leaf in expected.items():
        np.testing.assert_array_equal(params[name], leaf)
    assert training.checkpoints.steps() == uninterrupted.checkpoints.steps()


def test_an_interrupted_run_is_tested_by_scheduled_checkpoints_or_the_newest(tmp_path: pathlib.Path) -> None:
    training = Training(tmp_path)
    for update, tested in ((2, [2]), (3, [3]), (6, [4]), (9, [4, 8])):
        with pytest.raises(KeyboardInterrupt):
            training.train(update)
        assert training.tested()[1] == tested
    assert training.checkpoints.steps() == [4, 8, 9]


def test_later_checkpoints_are_discarded(tmp_path: pathlib.Path) -> None:
    training = Training(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        training.train(9)
    training.checkpoints.discard_after(4)
    assert training.checkpoints.steps() == [4]
    training.train()
    assert training.checkpoints.steps() == SCHEDULED[-AVERAGED:]
