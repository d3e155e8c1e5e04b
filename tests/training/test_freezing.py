"""Frozen parameters do not change, and training keeps nothing for them."""

from typing import Any

import jax
import numpy as np
import pytest

from tests.training.test_step import PARAMS, SMOOTHING, SOURCE_BS, TARGET_BT, Trainer, make_spec
from transformer.spec import TrainSpec
from transformer.training import freezing
from transformer.training import step as steps

LAYER = {"to_query": {"kernel": 1, "bias": 2}, "norm": {"bias_D": 3}}
MODEL = {"encoder": {"0": LAYER}, "embed_source": {"table_VD": 4}}
ADAPTED = {"to_query": {"base_module": {"kernel": 1}, "lora_a": 2, "lora_b": 3}, "norm": {"bias_D": 4}}


def train(freeze: str, **changes: Any) -> TrainSpec:
    return make_spec(freeze=freeze, **changes).train


@pytest.mark.parametrize(
    ("params", "freeze", "trained"),
    [
        (MODEL, "", [1, 2, 3, 4]),
        (MODEL, "embed_source.*", [1, 2, 3]),
        (MODEL, "*, !*.bias, !*.bias_D", [2, 3]),
        (MODEL, "!*.bias,*.0.*", [4]),
        (MODEL, "encoder.?.norm.*,*kernel", [2, 4]),
        (ADAPTED, "", [2, 3]),
        (ADAPTED, "*lora_a, !norm.*", [3, 4]),
        (ADAPTED, "!to_query.kernel", [1, 2, 3]),
    ],
)
def test_the_last_pattern_that_matches_decides(params: Any, freeze: str, trained: list[int]) -> None:
    parts = freezing.partition(params, train(freeze))
    assert sorted(jax.tree.leaves(parts[0])) == trained
    assert freezing.join(*parts) == params
    freezing.check(params, train(freeze))


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("encoder.*,embed_sorce.*", r"'embed_sorce\.\*' matches none of 4 names, such as embed_source\.table_VD"),
        ("!encoder.1.*", r"'encoder\.1\.\*' matches none of 4 names, such as encoder\.\*\."),
        ("*", r"leaves no parameter to train"),
    ],
)
def test_a_pattern_without_a_parameter_is_an_error(freeze: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^train.freeze: .*{message}"):
        freezing.check(MODEL, train(freeze))
    freezing.check(MODEL, train("*", steps=0, init_from="opus"))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_frozen_parameter_stays_and_has_no_state(accumulate: int) -> None:
    """The others have the update that they have without frozen ones; the gradient norm is theirs alone."""
    changes = {"ema_decay": 0.5, "accumulate": accumulate}
    free, frozen = Trainer(**changes), Trainer(freeze="table", **changes)
    (expected, _), (state, sums) = (trainer(trainer.state) for trainer in (free, frozen))
    if accumulate == 2:
        assert jax.tree.map(np.shape, state.pending[0]) == {"kernel": (3, 11)}
        (expected, _), (state, sums) = free(expected), frozen(state)
    np.testing.assert_allclose(state.params["kernel"], expected.params["kernel"], rtol=1e-6)
    assert np.abs(state.params["kernel"] - PARAMS["kernel"]).max() > 0.01
    for params in (state.params, state.average):
        assert np.asarray(params["table"]).tobytes() == PARAMS["table"].tobytes()
    assert sorted(leaf.shape for leaf in jax.tree.leaves(state.optimizer) if leaf.ndim) == [(3, 11), (3, 11)]
    gradient = jax.grad(lambda kernel: loss(free, kernel))(PARAMS["kernel"])
    np.testing.assert_allclose(sums.gradient_norm, np.linalg.norm(gradient), rtol=1e-5)


def loss(trainer: Trainer, kernel: Any) -> jax.Array:
    model: Any = trainer.model
    arguments: Any = ({**PARAMS, "kernel": kernel}, SOURCE_BS, TARGET_BT, SMOOTHING, None)
    sums = steps.loss_sums(model, *arguments)
    return sums.loss / sums.weight
