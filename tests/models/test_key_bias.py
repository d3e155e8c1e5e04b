"""Keys' biases that change no attention weight are not trained; all other keys' biases are."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from transformer.models.build import build
from transformer.spec import Spec
from transformer.training import state as states
from transformer.training import step as steps

UPDATES = 3
# Settings with which a bias of the keys changes the weights, by attention.
TRAINED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"score_scale": "learned"}, set()),
    ({"weights": "top_k", "top_k": 2}, set()),
    ({"positions": "rotary", "decoder_positions": "sinusoid"}, {"encoder"}),
    ({"positions": "relative", "decoder_positions": "alibi"}, set()),
    ({"weights": "sigmoid"}, {"encoder", "decoder", "cross"}),
    ({"score": "cosine"}, {"encoder", "decoder", "cross"}),
    ({"cross_score": "additive"}, {"cross"}),
    ({"architecture": "rnnsearch", "heads": 1}, set()),
    ({"architecture": "rnnsearch", "heads": 1, "cross_score": "additive"}, {"cross"}),
]


def key_biases(params: Any) -> dict[str, np.ndarray]:
    """Returns the keys' bias of each attention: "encoder", "decoder", "cross"."""
    if "to_key" in params:
        return {"cross": np.asarray(params["to_key"]["bias"])}
    decoder = params["decoder"]["0"]
    attentions = {
        "encoder": params["encoder"]["0"]["self_attention"],
        "decoder": decoder["self_attention"],
        "cross": decoder["cross_attention"],
    }
    return {name: np.asarray(attention["to_key"]["bias"]) for name, attention in attentions.items()}


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        pytest.param(
            changes, trained, id=str(changes), marks=[] if changes == {"cross_score": "additive"} else pytest.mark.slow
        )
        for changes, trained in TRAINED
    ],
)
def test_adam_moves_only_biases_that_have_an_effect(changes: dict[str, Any], trained: set[str], compiled: Any) -> None:
    """Exactly: Adam with ε = 1e-9 would turn a rounding error into a full update."""
    config = base.get_config().to_dict()
    config["model"] |= {"d_model": 12, "d_ff": 7, "heads": 3, "encoder_layers": 1, "decoder_layers": 1} | changes
    config["train"] |= {"learning_rate": 0.01, "warmup_steps": 1, "optimizer": "adamw", "weight_decay": 0.1}
    config["train"] |= {"ema_decay": 0.5, "loss_chunk": None}
    spec = Spec.from_config(config)
    model, params = states.split(build(spec.model, 23, jax.random.key(0)))
    # Another bias than zero, as in a checkpoint of an older version or of another library.
    params = jax.tree.map_with_path(
        lambda path, leaf: leaf + 0.25 if [key.key for key in path[-2:]] == ["to_key", "bias"] else leaf, params
    )
    hyperparams = steps.hyperparams(spec.train, spec.model)
    state = steps.initial_state(params, spec.train, hyperparams, jax.random.key_data(jax.random.key(1)))
    step = compiled(steps.make_step(model, spec.train))
    ids = np.random.default_rng(0).integers(4, 23, (2, UPDATES, 5, 7)).astype(np.int32)
    for source_BS, target_BT in zip(*ids, strict=True):
        state, _ = step(state, source_BS, target_BT, hyperparams)
    before, after, average = map(key_biases, (params, state.params, state.average))
    assert {name for name in before if (before[name] != after[name]).any()} == trained
    assert {name for name in before if (before[name] != average[name]).any()} == trained


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_gradients_are_the_same(make: Any, batch: Any, compiled: Any, dtype: str) -> None:
    """Those of a model whose bias is trained; and the bias still has its effect on nothing but rounding."""
    net = make(dtype=dtype)

    def loss(params: Any, train_bias: bool) -> jax.Array:
        model = net.model(params)
        layer = model.encoder[0].self_attention
        layer.to_key.train_bias = train_bias
        states_BSD = model.encode(batch[0]).states_BSD
        return jnp.sum(jnp.sin(states_BSD.astype(jnp.float32)))

    gradients = [
        compiled(jax.grad(lambda params, train_bias=train_bias: loss(params, train_bias)))(net.params)
        for train_bias in (True, False)
    ]
    name = "encoder/0/self_attention/to_key/bias"
    assert not gradients[1][name].any()
    assert np.abs(gradients[0][name]).max() < (1e-4 if dtype == "float32" else 0.5)
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    for path in net.params:
        if path != name:
            np.testing.assert_allclose(gradients[1][path], gradients[0][path], rtol=tolerance, atol=tolerance)
