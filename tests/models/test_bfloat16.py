"""Models of bfloat16 numbers have the losses and gradients of those of float32, as far as eight bits tell.

Such a number is off by 2⁻⁹ of itself at most: what goes through some ten layers is off by a hundredth or so, and by
more where a unit falls to the other side of its ReLU's kink. A gradient that was wrong would be off by far more.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.models.build import ARCHITECTURES
from transformer.training.step import shift_right

ALIKE, ALL_ALIKE = 0.95, 0.997  # cosine of the two gradients of a parameter, and of all parameters at once


@pytest.fixture(scope="module", params=ARCHITECTURES)
def both(make_architecture, batch, compiled, request):
    """Loss and gradients by path, in float32 and in bfloat16, of one batch and the same parameters."""

    def found(dtype: str):
        net = make_architecture(request.param, dtype=dtype)

        def loss(params, source_BS, target_BT):
            model = net.model(params)
            decoded = model.decode(model.encode(source_BS), shift_right(target_BT))
            logits_BTV = model.logits(decoded.hidden_BTD)
            assert logits_BTV.dtype == jnp.float32
            right_BT1 = jnp.take_along_axis(jax.nn.log_softmax(logits_BTV), target_BT[..., None], axis=-1)
            return -jnp.mean(right_BT1)

        return compiled(jax.value_and_grad(loss))(net.params, *batch)

    return found("float32"), found("bfloat16")


def test_the_loss_is_the_same(both) -> None:
    (exact, _), (short, _) = both
    assert short == pytest.approx(float(exact), rel=0.01)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def test_gradients_point_the_same_way(both) -> None:
    (_, exact), (_, short) = both
    together = [np.concatenate([np.ravel(each[path]) for path in exact]) for each in (exact, short)]
    assert cosine(*together) > ALL_ALIKE
    for path in exact:
        one, other = (np.asarray(each[path], np.float64).ravel() for each in (exact, short))
        assert short[path].dtype == jnp.float32, path
        if path.endswith("attention/to_key/bias"):
            continue  # it moves all dot products of a query alike, and no weight: its gradient is a rounding error
        assert cosine(one, other) > ALIKE, path
        assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(one), rel=0.1), path
