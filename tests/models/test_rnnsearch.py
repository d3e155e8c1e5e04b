"""RNNsearch; test_interface.py tests the properties that all architectures share."""

import jax.numpy as jnp
import numpy as np
import pytest

from transformer.models.build import abstract_model
from transformer.models.rnnsearch import maxout
from transformer.spec import PAD


def test_maxout_takes_the_larger_of_neighbours() -> None:
    np.testing.assert_array_equal(maxout(jnp.array([[1.0, 5.0, -2.0, -3.0]])), [[5.0, -2.0]])


@pytest.mark.parametrize("score", ["additive", "dot", "cosine"])
def test_weights_are_an_alignment(make_architecture, batch, score: str) -> None:
    """From each output position to the tokens of its own sentence."""
    source_BS, target_BT = batch
    net = make_architecture("rnnsearch", cross_score=score)
    weights_BHTS = np.asarray(net(source_BS, target_BT).decoded.attention["cross/0"])
    assert weights_BHTS.shape == (4, 1, target_BT.shape[1], source_BS.shape[1])
    np.testing.assert_allclose(weights_BHTS.sum(axis=-1), 1, atol=1e-5)
    assert (weights_BHTS[np.broadcast_to((source_BS == PAD)[:, None, None], weights_BHTS.shape)] == 0).all()
    assert weights_BHTS[0].std(axis=1).max() > 1e-3  # and it changes between positions


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_initial_state_comes_from_the_backward_encoder(make_architecture, batch, compiled, cell: str) -> None:
    """s_0 = tanh(W_s ←h_1), Section A.2.2; the cell state of an LSTM starts at zero."""
    net = make_architecture("rnnsearch", cell=cell)
    memory = net(*batch).memory
    np.testing.assert_allclose(memory.decoder_init, memory.states_BSD[:, 0, 11:], atol=1e-6)
    carry = compiled(lambda params: net.model(params).start(memory, 3, 7).per_beam)(net.params)
    kernel, bias = (np.asarray(net.params[f"to_first/{name}"]) for name in ("kernel", "bias"))
    expected = np.tanh(np.asarray(memory.decoder_init) @ kernel + bias)
    for beam in range(3):
        np.testing.assert_allclose(carry.hidden[:, beam], expected, atol=1e-5)
    assert all((np.asarray(leaf) == 0).all() for leaf in carry[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "model.heads: 3, but model.architecture=rnnsearch has one"),
        ({"encoder_layers": 2}, "model.encoder_layers: 2, but model.architecture=rnnsearch has one"),
        ({"tie_embeddings": True}, "width model.d_model=13 cannot score an output of width 17"),
        ({"dropout_feed_forward": 0.2}, "model.dropout_feed_forward: 0.2 changes nothing in a rnnsearch model"),
    ],
)
def test_settings_that_do_not_fit(architecture_spec, changes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        abstract_model(architecture_spec("rnnsearch", **changes), 23)
