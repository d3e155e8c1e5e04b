"""Losses and gradients in bfloat16 equal those in float32 within the precision of eight bits.

The relative rounding error of bfloat16 is at most 2⁻⁹. After about ten layers the error is about a hundredth, and it is
larger for a unit that changes sides at the kink of its ReLU. The error of a wrong gradient would be far larger.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.models.build import ARCHITECTURES
from transformer.training.step import shift_right

MIN_COSINE, MIN_TOTAL_COSINE = 0.95, 0.997  # least cosine of gradients: of each parameter, of all parameters


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in ("rnnsearch", "seq2seq") else []) for name in ARCHITECTURES
    ],
)
def both(make_architecture, batch, compiled, request):
    """Loss and gradients by path in float32 and bfloat16, for the same batch and parameters."""

    def loss_and_gradients(dtype: str):
        net = make_architecture(request.param, dtype=dtype, encoder_layers=1, decoder_layers=1)

        def loss(params, source_BS, target_BT):
            model = net.model(params)
            decoded = model.decode(model.encode(source_BS), shift_right(target_BT))
            logits_BTV = model.logits(decoded.hidden_BTD)
            assert logits_BTV.dtype == jnp.float32
            right_BT1 = jnp.take_along_axis(jax.nn.log_softmax(logits_BTV), target_BT[..., None], axis=-1)
            return -jnp.mean(right_BT1)

        return compiled(jax.value_and_grad(loss))(net.params, *batch)

    return loss_and_gradients("float32"), loss_and_gradients("bfloat16")


def test_losses_agree(both) -> None:
    (exact, _), (short, _) = both
    assert short == pytest.approx(float(exact), rel=0.01)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def test_gradients_agree(both) -> None:
    (_, exact), (_, short) = both
    joined = [np.concatenate([np.ravel(gradients[path]) for path in exact]) for gradients in (exact, short)]
    assert cosine(*joined) > MIN_TOTAL_COSINE
    for path in exact:
        expected, actual = (np.asarray(gradients[path], np.float64).ravel() for gradients in (exact, short))
        assert short[path].dtype == jnp.float32, path
        if path.endswith("attention/to_key/bias"):
            continue  # adds the same number to all scores of a query: the gradient is a rounding error
        assert cosine(expected, actual) > MIN_COSINE, path
        assert np.linalg.norm(actual) == pytest.approx(np.linalg.norm(expected), rel=0.1), path
