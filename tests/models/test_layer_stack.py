"""Recomputed layers, and a loop over layers, compute what the plain model computes; so do their gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models.conftest import VOCABULARY, compiled
from transformer.models.build import abstract_model
from transformer.ops.dropout import KINDS, Dropout
from transformer.training.state import split, stack_layers, unstack_layers
from transformer.training.step import loss_sums

SETTINGS: dict[str, Any] = {"encoder_layers": 2, "decoder_layers": 2, "dropout_word": 0.1, "cross_memory": "each"}


class Result(NamedTuple):
    """The loss of a model with dropout, and its gradient with layers apart."""

    loss: jax.Array
    gradient: Any


@pytest.fixture(scope="module", name="compute")
def _compute(make_spec: Any, batch: Any) -> Any:
    plain = split(abstract_model(make_spec(**SETTINGS), VOCABULARY))[1]
    source_BS, target_BT = map(jnp.asarray, batch)
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(generator.normal(0, 0.3, leaf.shape), jnp.float32), plain)
    dropout = Dropout.from_key(jax.random.key(3), dict.fromkeys(KINDS, jnp.float32(0.1)))

    def compute(**changes: Any) -> Result:
        spec = make_spec(**SETTINGS | changes)
        model, shapes = split(abstract_model(spec, VOCABULARY))
        own = stack_layers(params) if spec.scan_layers else params
        assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, shapes)

        def loss(params: Any) -> jax.Array:
            return loss_sums(model, params, source_BS, target_BT, 0.1, None, dropout).loss

        value, gradient = compiled(jax.value_and_grad(loss))(own)
        return Result(value, unstack_layers(gradient))

    return compute


@pytest.fixture(scope="module", name="plain")
def _plain(compute: Any) -> Result:
    return compute()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"remat": "dots"}, marks=pytest.mark.slow),
        pytest.param({"scan_layers": True}, marks=pytest.mark.slow),
        {"scan_layers": True, "remat": "full"},
    ],
    ids=str,
)
def test_losses_and_gradients_are_those_of_the_plain_model(
    compute: Any, plain: Result, changes: dict[str, Any]
) -> None:
    """With dropout: every layer has its own masks."""
    result = compute(**changes)
    np.testing.assert_allclose(result.loss, plain.loss, rtol=1e-6)
    largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(plain.gradient))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6 * largest), result.gradient, plain.gradient)


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("remat", ["none", "dots", "full"])
def test_a_gradient_saves_what_the_policy_says(make_spec: Any, remat: str, scan_layers: bool) -> None:
    """The output of a linear layer is saved unless remat is `full`, attention weights only without remat."""
    spec = make_spec(**SETTINGS | {"remat": remat, "scan_layers": scan_layers, "d_ff": 97})
    model, shapes = split(abstract_model(spec, VOCABULARY))
    tokens = jax.ShapeDtypeStruct((5, 11), jnp.int32)

    def saved(params: Any, source_BS: jax.Array) -> Any:
        encode = lambda params: jnp.sum(model(params).encode(source_BS).states_BSD)  # noqa: E731
        return jax.vjp(encode, params)[1]

    sizes = {leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(saved, shapes, tokens))}
    assert any(shape[-2:] == (5 * 11, 97) for shape in sizes) == (remat != "full"), sizes
    assert any(shape[-2:] == (11, 11) for shape in sizes) == (remat == "none"), sizes


def test_the_layers_of_a_search_are_those_of_the_stack(make_spec: Any) -> None:
    plain = split(abstract_model(make_spec(**SETTINGS), VOCABULARY))[1]
    model, shapes = split(abstract_model(make_spec(**SETTINGS | {"scan_layers": True}), VOCABULARY))
    params = jax.tree.map(lambda leaf: np.random.default_rng(leaf.size).normal(size=leaf.shape), shapes)
    network: Any = model(params)
    for number, layer in enumerate(network.decoder):
        expected = jax.tree.map(lambda leaf, number=number: leaf[number], params["decoder"]["stacked"])
        assert jax.tree.map(np.shape, expected) == jax.tree.map(np.shape, plain["decoder"][str(number)])
        jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(layer)), expected)
    assert len(network.decoder) == 2
