"""Every setting has the effect that it should have, and an unknown name is an error at build time."""

import dataclasses
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base, wmt14_en_fr
from transformer.models.build import abstract_model, build
from transformer.spec import ModelSpec


def size(spec: ModelSpec, vocabulary: int) -> int:
    """Returns the number of parameters without allocating them."""
    model = abstract_model(spec, vocabulary)
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, graph=True)))


@pytest.fixture(scope="module")
def states(compiled, batch):
    """Encodes the batch's sources; both stacks are built by the same code, so the encoder suffices."""

    def run(net, **changes: Any) -> np.ndarray:
        params = net.params | changes
        return np.asarray(compiled(lambda params: net.model(params).encode(batch[0]).states_BSD)(params))

    return run


# Change of the number of parameters: D 13, F 19, H 3, K 5, U 7, V 23, one layer on each side, three
# attentions. A bias is one more input.
SWITCHES: dict[str, tuple[dict[str, Any], int]] = {
    "heads": ({"heads": 1}, -3 * (2 * 14 * 10 + 14 * 14 + 14 * 13)),
    "d_k": ({"d_k": 2}, -3 * (2 * 14 * 9)),
    "d_v": ({"d_v": 2}, -3 * (14 * 15 + 15 * 13)),
    "d_ff": ({"d_ff": 11}, -2 * (14 * 8 + 8 * 13)),
    "encoder_layers": (
        {"encoder_layers": 2},
        (13 * 30 + 30 + 13 * 21 + 21 + 21 * 13 + 13) + (2 * 13 * 19 + 32) + 2 * 26,
    ),
    "score_scale": ({"score_scale": "none"}, 0),
    "residual": ({"residual": False}, 0),
    "pre-norm": ({"norm": "pre"}, 2 * 26),  # a norm after each stack
    "no norm": ({"norm": "none"}, -5 * 26),
    "positions": ({"positions": "none"}, 0),
    "activation": ({"activation": "gelu"}, 0),
    "swiglu": ({"activation": "swiglu"}, 2 * 14 * 19),
    "swish": ({"activation": "swish"}, 0),
    "no feed-forward": ({"feed_forward": False}, -2 * (14 * 19 + 20 * 13 + 26)),
    "rms": ({"norm_kind": "rms"}, -5 * 13),
    "learned positions": ({"positions": "learned", "max_positions": 17}, 2 * 17 * 13),
    "no residual around attention": ({"no_residual": "self_attention, cross_attention"}, 0),
    "sigmoid": ({"weights": "sigmoid"}, 0),
    "uniform": ({"weights": "uniform"}, 0),
    "top_k": ({"weights": "top_k", "top_k": 2}, 0),
    "learned scale": ({"score_scale": "learned"}, 3 * 3),
    "fixed scale": ({"score_scale": "0.5"}, 0),
    "tie_embeddings": ({"tie_embeddings": True}, -2 * 23 * 13),
    "scale_embeddings": ({"scale_embeddings": False}, 0),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_setting_has_an_effect(make, states, name: str) -> None:
    """With equal parameters where their shapes are equal."""
    changes, added = SWITCHES[name]
    net, other = make(), make(**changes)
    assert sum(leaf.size for leaf in other.params.values()) - sum(leaf.size for leaf in net.params.values()) == added
    if name == "tie_embeddings":  # changes only the set of parameters
        assert set(net.params) - set(other.params) == {"embed_target/table_VD", "output/table_VD"}
    else:
        assert np.abs(states(other) - states(net)).max() > 0.01


def test_decoder_layers_adds_decoder_layers(make) -> None:
    one, two = (set(make(decoder_layers=layers).params) for layers in (1, 2))
    assert {path.replace("/1/", "/0/") for path in two - one} == {path for path in one if path.startswith("decoder/")}


def test_score_scale_is_one_over_root_d_k(make, states) -> None:
    """Without the scale, queries divided by √5 give the same scores."""
    net, unscaled = make(), make(score_scale="none")
    smaller = {path: leaf / math.sqrt(5) for path, leaf in net.params.items() if "/to_query/" in path}
    np.testing.assert_allclose(states(unscaled, **smaller), states(net), atol=1e-5)


def test_score_scale_may_be_any_number(make, states) -> None:
    np.testing.assert_allclose(states(make(score_scale=str(math.sqrt(5)))), states(make()), atol=1e-5)
    with pytest.raises(ValueError, match=r"model\.score_scale: 0"):
        make(score_scale="0")


def test_decoder_positions_are_independent(make, batch) -> None:
    """Sinusoids in the encoder, the decoder, both or neither give four different outputs."""
    ways = [
        make(positions=one, decoder_positions=other)(*batch)
        for one, other in [("sinusoid", None), ("sinusoid", "none"), ("none", "sinusoid"), ("none", None)]
    ]
    states = [way.memory.states_BSD for way in ways]
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[2], states[3])
    assert np.abs(states[0] - states[2]).max() > 0.01
    for number, one in enumerate(ways):
        for other in ways[number + 1 :]:
            assert np.abs(one.logits_BTV - other.logits_BTV).max() > 0.01


def test_rotary_positions_affect_only_self_attention(make, batch) -> None:
    """Rotary positions in the encoder change its states; in the decoder only, they do not."""
    none, both, decoder = (
        make(positions=one, decoder_positions=other, d_k=6)(*batch)
        for one, other in [("none", None), ("rotary", None), ("none", "rotary")]
    )
    assert np.abs(both.memory.states_BSD - none.memory.states_BSD).max() > 0.01
    np.testing.assert_array_equal(decoder.memory.states_BSD, none.memory.states_BSD)
    assert np.abs(decoder.logits_BTV - none.logits_BTV).max() > 0.01
    with pytest.raises(ValueError, match="d_k=5 has an odd number"):
        make(positions="rotary")(*batch)


def test_relative_positions_need_dot_products_with_a_fixed_scale(make_spec) -> None:
    for changes in ({"score": "additive"}, {"score_scale": "learned"}):
        with pytest.raises(ValueError, match=r"^model\.positions=relative adds vectors to the keys of dot products"):
            size(make_spec(positions="relative", **changes), 23)


@pytest.mark.parametrize("kind", [pytest.param("alibi", marks=pytest.mark.slow), "relative"])
def test_distances_affect_only_self_attention(make, batch, kind: str) -> None:
    """Also without a causal mask, and not cross-attention."""
    none, both, decoder = (
        make(positions=one, decoder_positions=other, score_scale="sqrt_d_k")(*batch)
        for one, other in [("none", None), (kind, None), ("none", kind)]
    )
    assert np.abs(both.memory.states_BSD - none.memory.states_BSD).max() > 0.01
    np.testing.assert_array_equal(decoder.memory.states_BSD, none.memory.states_BSD)
    assert np.abs(decoder.logits_BTV - none.logits_BTV).max() > 0.01
    names = {"/".join(path.split("/")[2:]) for path in set(make(positions=kind).params) - set(make().params)}
    assert names == ({"self_attention/attention/distance_score/vector_PK"} if kind == "relative" else set())


def test_a_sentence_longer_than_learned_positions_is_rejected(make, batch) -> None:
    net = make(positions="learned", max_positions=6)
    with pytest.raises(ValueError, match=r"7 positions, but model\.max_positions=6"):
        net(*batch)
    memory = net(batch[0][:, :6], batch[1]).memory
    with pytest.raises(ValueError, match=r"11 positions, but model\.max_positions=6"):
        net.model().start(memory, 2, 11)


def test_cross_memory_each(make, batch) -> None:
    """The last decoder layer attends to the last encoder layer in both cases."""
    settings = {"encoder_layers": 2, "decoder_layers": 2}
    last, each = make(**settings)(*batch), make(**settings, cross_memory="each")(*batch)
    np.testing.assert_array_equal(last.memory.states_BSD, each.memory.states_BSD)
    (read_by_all,) = last.memory.decoder_init
    np.testing.assert_array_equal(read_by_all, last.memory.states_BSD)
    np.testing.assert_array_equal(each.memory.decoder_init[1], last.memory.states_BSD)
    assert np.abs(each.memory.decoder_init[0] - last.memory.states_BSD).max() > 0.1
    assert np.abs(each.decoded.attention["cross/0"] - last.decoded.attention["cross/0"]).max() > 0.01
    with pytest.raises(ValueError, match="2 encoder layers cannot be read by 1 decoder layers"):
        make(encoder_layers=2, decoder_layers=1, cross_memory="each")


def test_without_causal_mask_only_padding_is_masked(make, batch) -> None:
    net, (source_BS, target_BT) = make(causal_mask=False), batch
    changed_BT = target_BT.copy()
    changed_BT[:, -1] = target_BT[:, -1] % 20 + 2
    forward, changed = net(*batch), net(source_BS, changed_BT)
    assert (np.abs(forward.logits_BTV - changed.logits_BTV).max(axis=2)[:, 0] > 1e-3).all()
    wide = net(source_BS, np.pad(target_BT, ((0, 0), (0, 3))))
    np.testing.assert_allclose(wide.logits_BTV[:, :5], forward.logits_BTV, atol=1e-4)


def test_embeddings_are_scaled_by_root_d_model(make, states) -> None:
    net, unscaled = make(), make(scale_embeddings=False)
    larger = {"embed_source/table_VD": net.params["embed_source/table_VD"] * math.sqrt(13)}
    np.testing.assert_allclose(states(unscaled, **larger), states(net), atol=1e-5)


def test_score_applies_to_all_attention_and_cross_score_overrides_it(make, batch) -> None:
    name = "attention/scores/log_scale_H"
    everywhere = {f"{kind}/{name}" for kind in ("encoder/0/self_attention", "decoder/0/self_attention")}
    everywhere |= {f"decoder/0/cross_attention/{name}"}
    net, cosine = make(), make(score="cosine")
    assert set(cosine.params) - set(net.params) == everywhere
    assert set(make(score="cosine", cross_score="dot").params) == set(cosine.params) - {
        f"decoder/0/cross_attention/{name}"
    }
    assert set(make(cross_score="cosine").params) - set(net.params) == {f"decoder/0/cross_attention/{name}"}
    np.testing.assert_array_equal(make(cross_score="dot")(*batch).logits_BTV, net(*batch).logits_BTV)
    for kind in ("encoder/0", "decoder/0", "cross/0"):
        weights, plain = ((out.memory.attention | out.decoded.attention)[kind] for out in (cosine(*batch), net(*batch)))
        assert np.abs(weights - plain).max() > 0.01


def test_chunked_cache(make_spec, batch) -> None:
    for chunked, positions in ((False, [29]), (True, [12, 12, 5])):
        model = abstract_model(make_spec(), 23, chunked_cache=chunked)
        graph, state = nnx.split(model, graph=True)
        start = jax.eval_shape(
            lambda state, graph=graph: (m := nnx.merge(graph, state)).start(m.encode(batch[0]), 2, 29), state
        )
        assert [chunk.key_BHSK.shape[2] // 2 for chunk in start.cache[0]] == positions


def test_cross_score_additive(make, batch) -> None:
    """One vector for each of three heads of one decoder layer; the encoder does not change."""
    net, additive = make(), make(cross_score="additive")
    assert set(additive.params) - set(net.params) == {"decoder/0/cross_attention/attention/scores/vector_HK"}
    forward, plain = additive(*batch), net(*batch)
    np.testing.assert_array_equal(forward.memory.states_BSD, plain.memory.states_BSD)
    assert np.abs(forward.decoded.attention["cross/0"] - plain.decoded.attention["cross/0"]).max() > 0.01


@pytest.mark.parametrize(
    "key",
    [
        *("architecture", "score", "score_scale", "cross_score", "weights", "cross_memory", "positions", "norm_kind"),
        *("activation", "attention_kernel"),
    ],
)
def test_an_unknown_name_lists_the_choices(make_spec, key: str) -> None:
    known = getattr(make_spec(), key) or "dot"
    with pytest.raises(ValueError, match=rf"^model\.{key}: 'zeta' is none of .*\b{re.escape(known)}\b"):
        size(make_spec(**{key: "zeta"}), 23)


def test_parameter_paths_of_the_base_model(make) -> None:
    """Checkpoints store parameters under these paths; a change makes existing checkpoints unreadable."""
    attention = {"to_query": (13, 15), "to_key": (13, 15), "to_value": (13, 21), "to_output": (21, 13)}
    feed_forward = {"inner": (13, 19), "outer": (19, 13)}
    expected: dict[str, tuple[int, ...]] = {"embed_source/table_VD": (23, 13)}
    for layer, attentions in {
        "encoder/0": ["self_attention"],
        "decoder/0": ["self_attention", "cross_attention"],
    }.items():
        for part, linear in [*((each, attention) for each in attentions), ("feed_forward", feed_forward)]:
            for name, shape in linear.items():
                expected[f"{layer}/{part}/{name}/kernel"] = shape
                expected[f"{layer}/{part}/{name}/bias"] = shape[1:]
            expected |= dict.fromkeys((f"{layer}/{part}_sublayer/norm/{name}" for name in ("scale_D", "bias_D")), (13,))
    shapes = {path: leaf.shape for path, leaf in make(tie_embeddings=True).params.items()}
    assert shapes == expected


def published(spec: ModelSpec, layers: int = 6) -> int:
    """Returns the number of parameters with the vocabulary of 37,000 of Section 5.1, from one layer of each stack."""
    embeddings = 37_000 * spec.d_model
    pair = size(dataclasses.replace(spec, encoder_layers=1, decoder_layers=1), 37_000) - embeddings
    return embeddings + layers * pair


def test_sizes_are_those_of_table_3() -> None:
    """In millions: 65, 213 for the big model; 36 with two layers, 58 with d_k = 16.

    The paper does not state the number of embeddings. Totals agree within 3 %, differences between rows to the million.
    """
    attention, norm = 4 * (512 * 512 + 512), 2 * 512
    feed_forward = 512 * 2048 + 2048 + 2048 * 512 + 512
    by_hand = 37_000 * 512 + 6 * (attention + feed_forward + 2 * norm) + 6 * (2 * attention + feed_forward + 3 * norm)
    spec = ModelSpec.from_config(base.get_config().to_dict()["model"])
    full = published(spec)
    assert full == by_hand == 63_082_496
    assert full == pytest.approx(65e6, rel=0.03)
    assert published(ModelSpec.from_config(wmt14_en_fr.get_config("big").to_dict()["model"])) == pytest.approx(
        213e6, rel=0.03
    )
    assert (published(spec, layers=2) - full) / 1e6 == pytest.approx(36 - 65, abs=1)
    assert (published(dataclasses.replace(spec, d_k=16)) - full) / 1e6 == pytest.approx(58 - 65, abs=1)


def test_initial_parameters(make_spec, compiled) -> None:
    """Uniform between ±√(6 / (inputs + outputs)), as in Glorot and Bengio 2010; each drawn independently."""
    spec = make_spec(d_model=101, d_ff=113, d_k=29, d_v=31, tie_embeddings=True)
    initial = compiled(lambda key: nnx.to_pure_dict(nnx.state(build(spec, 211, key), graph=True)))
    keys = (jax.random.key(seed, impl="rbg") for seed in (0, 0, 1))  # compiles fastest
    first, again, other = (jax.tree.map(np.asarray, initial(key)) for key in keys)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    drawn = set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(first):
        name = path[-1].key
        if name == "kernel":
            bound = math.sqrt(6 / sum(leaf.shape))
            assert 0.99 * bound < np.abs(leaf).max() <= bound
            assert leaf.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        elif name == "table_VD":
            assert leaf.std() == pytest.approx(101**-0.5, rel=0.03)
        else:
            assert (leaf == {"bias": 0, "bias_D": 0, "scale_D": 1}[name]).all()
            continue
        assert abs(leaf.mean()) < 0.03 * leaf.std()
        drawn.add(float(leaf[0, 0] / leaf.std()))
    assert len(drawn) == 4 + 2 + 8 + 2 + 1
    kernels = [tree["encoder"][0]["self_attention"]["to_query"]["kernel"] for tree in (first, other)]
    assert (kernels[0] != kernels[1]).all()


def test_parameters_are_float32_whatever_the_arithmetic(make_spec) -> None:
    shapes = abstract_model(make_spec(dtype="bfloat16", norm="pre"), 23)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(shapes, graph=True))} == {jnp.dtype(jnp.float32)}
