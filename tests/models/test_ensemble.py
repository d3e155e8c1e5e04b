"""An ensemble of all architectures: the mean of their probabilities, with teacher forcing and in steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.models.build import ARCHITECTURES
from transformer.models.ensemble import Ensemble


@pytest.fixture(scope="module")
def nets(make_architecture):
    return [make_architecture(name) for name in ARCHITECTURES]


@pytest.mark.slow
def test_the_mean_of_probabilities(nets, compiled, batch) -> None:
    def run(params, source_BS, target_BT):
        model = Ensemble([net.model(each) for net, each in zip(nets, params, strict=True)])
        memory = model.encode(source_BS)
        decoded = model.decode(memory, target_BT)
        state, steps = model.start(memory, 2, 7), []
        for position in range(target_BT.shape[1]):
            token_BN = jnp.broadcast_to(target_BT[:, position, None], (target_BT.shape[0], 2))
            logits_BNV, state = model.step(state, token_BN, jnp.full(len(token_BN), position))
            steps.append(logits_BNV[:, 1])
        return model.logits(decoded.hidden_BTD), jnp.stack(steps, axis=1), sorted(memory.attention | decoded.attention)

    names = []

    def traced(*arguments):
        *arrays, new_names = run(*arguments)
        names.extend(new_names)
        return arrays

    forced, stepped = compiled(traced)([net.params for net in nets], *batch)
    expected = np.mean([jax.nn.softmax(net(*batch).logits_BTV) for net in nets], axis=0)
    np.testing.assert_allclose(np.exp(forced), expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(stepped), expected, atol=1e-5)
    assert {"0/encoder/0", "0/cross/1", "1/cross/0"} <= set(names)


def test_no_models() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        Ensemble([])
