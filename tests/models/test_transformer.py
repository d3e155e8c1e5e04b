"""The Transformer; test_interface.py tests the properties that all architectures share."""

import jax
import jax.numpy as jnp
import numpy as np

from transformer.spec import PAD

TABLES = ("embed_source/table_VD", "embed_target/table_VD", "output/table_VD")


def difference(one, other) -> float:
    return float(np.abs(np.asarray(one) - np.asarray(other)).max())


def test_attention_weights_by_layer(net, batch) -> None:
    """Weights sum to one and are zero at padding and at future positions."""
    source_BS, _ = batch
    forward = net(*batch)
    shapes = {name: weights.shape for name, weights in (forward.memory.attention | forward.decoded.attention).items()}
    assert shapes == {
        "encoder/0": (4, 3, 7, 7),
        "encoder/1": (4, 3, 7, 7),
        "decoder/0": (4, 3, 5, 5),
        "cross/0": (4, 3, 5, 7),
        "decoder/1": (4, 3, 5, 5),
        "cross/1": (4, 3, 5, 7),
    }
    source_mask = (source_BS != PAD)[:, None, None]
    masks = {"encoder": source_mask, "cross": source_mask, "decoder": np.tril(np.ones((5, 5), bool))[None, None]}
    for name, weights in jax.tree.map(np.asarray, forward.memory.attention | forward.decoded.attention).items():
        np.testing.assert_allclose(weights.sum(axis=-1), np.ones(weights.shape[:3]), atol=1e-5)
        np.testing.assert_array_equal(weights > 0, np.broadcast_to(masks[name.split("/")[0]], weights.shape))
    assert difference(forward.memory.attention["encoder/0"], forward.memory.attention["encoder/1"]) > 0.01


def test_no_gradient_from_future_tokens(net, batch, compiled) -> None:
    """Logits at t depend on the embeddings of target tokens 0..t only."""
    source_BS, target_BT = (ids[:1] for ids in batch)
    name = "embed_target/table_VD"
    table_VD = net.params[name]

    @compiled
    def influence(params, weight_TTV):
        memory = net.model(params).encode(source_BS)

        def logits(table_VD):
            model = net.model(params | {name: table_VD})
            return model.logits(model.decode(memory, target_BT).hidden_BTD)[0]

        return jax.vmap(lambda weight_TV: jax.vjp(logits, params[name])[1](weight_TV)[0])(weight_TTV)

    weight_TTV = np.zeros((5, 5, len(table_VD)), np.float32)
    weight_TTV[np.arange(5), np.arange(5)] = np.random.default_rng(0).normal(size=(5, len(table_VD)))
    moves_with = (np.asarray(influence(net.params, weight_TTV))[:, target_BT[0]] != 0).any(axis=-1)
    np.testing.assert_array_equal(moves_with, np.tril(np.ones((5, 5), bool)))


def test_without_positions_the_encoder_is_permutation_equivariant(make, net, batch, compiled) -> None:
    """States permute with their tokens; with positions they do not."""
    source_BS, _ = batch
    order = [4, 2, 0, 6, 1, 5, 3]
    model = make(encoder_layers=2, decoder_layers=2, norm="pre", positions="none")
    encode = compiled(lambda params, source_BS: model.model(params).encode(source_BS).states_BSD)
    states_BSD = np.asarray(encode(net.params, source_BS))
    moved_BSD = np.asarray(encode(net.params, source_BS[:, order]))
    real_BS = source_BS != PAD
    np.testing.assert_allclose(moved_BSD[real_BS[:, order]], states_BSD[:, order][real_BS[:, order]], atol=1e-4)

    sources = (source_BS, source_BS[:, order])
    states_BSD, moved_BSD = (np.asarray(net(source, batch[1]).memory.states_BSD) for source in sources)
    assert difference(moved_BSD[0], states_BSD[0, order]) > 0.1


def test_tied_embeddings_are_one_table(make, batch, compiled) -> None:
    """A tied table gives the results of three equal tables, and its gradient is the sum of theirs."""
    tied, untied = make(tie_embeddings=True), make()
    name, *others = [path for path in tied.params if "table" in path]
    assert not others
    assert tuple(path for path in untied.params if "table" in path) == TABLES
    same = untied._replace(params=untied.params | dict.fromkeys(TABLES, tied.params[name]))

    def loss(net, params):
        model = net.model(params)
        logits_BTV = model.logits(model.decode(model.encode(batch[0]), batch[1]).hidden_BTD)
        return jnp.sum(jnp.sin(logits_BTV)), logits_BTV

    gradient, tied_BTV = compiled(jax.grad(lambda params: loss(tied, params), has_aux=True))(tied.params)
    gradients, logits_BTV = compiled(jax.grad(lambda params: loss(untied, params), has_aux=True))(same.params)
    np.testing.assert_allclose(tied_BTV, logits_BTV, atol=1e-4)
    np.testing.assert_allclose(gradient[name], sum(gradients[path] for path in TABLES), atol=1e-4)

    # Every parameter has a gradient except the keys' bias, which adds the same number to all scores of a query.
    for path, gradient in gradients.items():
        assert (difference(gradient, 0) < 1e-4) == path.endswith("to_key/bias"), path


def test_untied_tables_are_independent(make, batch) -> None:
    net = make()
    forward = net(*batch)
    for path, changed in zip(TABLES, [(True, True, True), (False, True, True), (False, False, True)], strict=True):
        other = net._replace(params=net.params | {path: net.params[path][::-1]})(*batch)
        pairs = [
            (forward.memory.states_BSD, other.memory.states_BSD),
            (forward.decoded.hidden_BTD, other.decoded.hidden_BTD),
            (forward.logits_BTV, other.logits_BTV),
        ]
        assert tuple(difference(*pair) > 1e-3 for pair in pairs) == changed


def test_bfloat16_is_close_to_float32(make, batch) -> None:
    """With the same float32 parameters; logits and attention weights are float32 in both."""
    short, long = make(dtype="bfloat16"), make()
    assert all(leaf.dtype == jnp.float32 for leaf in short.params.values())
    forward, expected = short(*batch), long(*batch)
    assert forward.memory.states_BSD.dtype == forward.decoded.hidden_BTD.dtype == jnp.bfloat16
    weights = forward.memory.attention | forward.decoded.attention
    assert {each.dtype for each in (forward.logits_BTV, *weights.values())} == {jnp.dtype(jnp.float32)}
    size = float(np.std(expected.logits_BTV))
    assert 1e-4 * size < difference(forward.logits_BTV, expected.logits_BTV) < 0.1 * size
