"""The LSTM without attention; test_interface.py tests the properties that all architectures share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.models.build import abstract_model, build
from transformer.models.seq2seq import reverse


def test_reverse_leaves_padding_where_it_is() -> None:
    source_BS = jnp.array([[5, 6, 7, 2, 0, 0], [9, 8, 7, 6, 5, 2], [2, 0, 0, 0, 0, 0], [0] * 6])
    np.testing.assert_array_equal(
        reverse(source_BS), [[2, 7, 6, 5, 0, 0], [2, 5, 6, 7, 8, 9], [2, 0, 0, 0, 0, 0], [0] * 6]
    )


def test_the_source_is_reversed(make_architecture, batch) -> None:
    source_BS, target_BT = batch
    reversing, plain = (make_architecture("seq2seq", reverse_source=choice) for choice in (True, False))
    logits_BTV = reversing(source_BS, target_BT).logits_BTV
    np.testing.assert_allclose(logits_BTV, plain(np.asarray(reverse(source_BS)), target_BT).logits_BTV, atol=1e-5)
    assert np.abs(logits_BTV - plain(source_BS, target_BT).logits_BTV).max() > 1e-2


def test_the_decoder_reads_only_the_final_states(make_architecture, batch, compiled) -> None:
    net = make_architecture("seq2seq")
    memory = net(*batch).memory

    @compiled
    def decode(params, memory):
        model = net.model(params)
        return model.logits(model.decode(memory, batch[1]).hidden_BTD)

    expected = decode(net.params, memory)
    np.testing.assert_array_equal(decode(net.params, memory._replace(states_BSD=memory.states_BSD * 0)), expected)
    for layer in range(2):  # each initialises a layer of the decoder
        scales = [float(number != layer) for number in range(2)]
        silenced = [
            type(state)(*(leaf * scale for leaf in state))
            for state, scale in zip(memory.decoder_init, scales, strict=True)
        ]
        assert np.abs(decode(net.params, memory._replace(decoder_init=silenced)) - expected).max() > 1e-2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_layers": 3}, "model.encoder_layers: 2 last states cannot initialise model.decoder_layers=3"),
        ({"tie_embeddings": True}, "width model.d_model=13 cannot score an output of width 11"),
        ({"dropout_attention": 0.1}, "model.dropout_attention: 0.1 changes nothing in a seq2seq model"),
        ({"cell": "zeta"}, "model.cell: 'zeta' is none of lstm, gru"),
    ],
)
def test_settings_that_do_not_fit(architecture_spec, changes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        abstract_model(architecture_spec("seq2seq", **changes), 23)


def test_init_range(architecture_spec) -> None:
    """Section 3.4: "uniform distribution between -0.08 and 0.08"."""
    model = build(architecture_spec("seq2seq", init_range=0.08), 23, jax.random.key(0))
    for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(model, graph=True))):
        assert 0.04 < np.abs(leaf).max() <= 0.08
