"""Every architecture implements the interface `Seq2Seq` as its docstrings specify."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.models.build import ARCHITECTURES, build
from transformer.models.interface import Decoded, DecodeState, Memory, Seq2Seq
from transformer.ops.dropout import Dropout
from transformer.spec import PAD

METHODS = [name for name in vars(Seq2Seq) if not name.startswith("_")]
ROWS, SOURCE, TARGET, BEAMS, LONGEST = 4, 7, 5, 3, 11

# Every architecture, and the Transformer with settings that affect the steps of a search.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ARCHITECTURES},
    "learned positions and more": (
        "transformer",
        {"positions": "learned", "max_positions": 13, "cross_memory": "each", "weights": "sigmoid", "norm_kind": "rms"}
        | {"score_scale": "learned", "activation": "swiglu"},
    ),
    "rotary positions and more": (
        "transformer",
        {
            "positions": "rotary",
            "d_k": 6,
            "feed_forward": False,
            "no_residual": "cross_attention",
            "score_scale": "3.0",
        },
    ),
    "ALiBi and relative positions": ("transformer", {"positions": "alibi", "decoder_positions": "relative"}),
    "additive self-attention, cosine cross-attention": ("transformer", {"score": "additive", "cross_score": "cosine"}),
}


SLOW = (
    "rotary positions and more",
    "ALiBi and relative positions",
    "additive self-attention, cosine cross-attention",
)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else []) for name in MODELS]
)
def net(make_architecture, request):
    name, changes = MODELS[request.param]
    return make_architecture(name, **changes)


@pytest.fixture(scope="module")
def steps(net, compiled):
    """Compiled `start` and `step`."""
    start = compiled(lambda params, memory: net.model(params).start(memory, BEAMS, LONGEST))
    step = compiled(lambda params, *arguments: net.model(params).step(*arguments))
    return lambda memory: start(net.params, memory), lambda *arguments: step(net.params, *arguments)


def test_methods_are_found() -> None:
    assert METHODS == ["encode", "decode", "logits", "start", "step"]


@pytest.mark.parametrize("method", METHODS)
def test_signatures_are_those_of_the_protocol(net, method: str) -> None:
    own = inspect.signature(getattr(type(net.model()), method))
    assert own == inspect.signature(getattr(Seq2Seq, method))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_and_types(architecture_spec, architecture: str, dtype: str) -> None:
    """Traced only. A step returns the types of its input state, as a loop over steps requires."""
    vocabulary = 23

    def trace(source_BS, target_BT, token_BN):
        model = build(architecture_spec(architecture, dtype=dtype), vocabulary, jax.random.key(0))
        memory = model.encode(source_BS)
        decoded = model.decode(memory, target_BT)
        state = model.start(memory, BEAMS, LONGEST)
        logits_BNV, after = model.step(state, token_BN, jnp.zeros(ROWS, jnp.int32))
        return memory, decoded, model.logits(decoded.hidden_BTD), state, logits_BNV, after

    ids = [jax.ShapeDtypeStruct((ROWS, width), jnp.int32) for width in (SOURCE, TARGET, BEAMS)]
    memory, decoded, logits_BTV, state, logits_BNV, after = nnx.eval_shape(trace, *ids)
    assert [type(each) for each in (memory, decoded, state)] == [Memory, Decoded, DecodeState]
    assert memory.states_BSD.shape[:2] == (ROWS, SOURCE)
    assert (memory.mask_BS.shape, memory.mask_BS.dtype) == ((ROWS, SOURCE), jnp.bool_)
    assert decoded.hidden_BTD.shape[:2] == (ROWS, TARGET)
    assert {each.dtype for each in (memory.states_BSD, decoded.hidden_BTD)} == {jnp.dtype(dtype)}
    assert (logits_BTV.shape, logits_BTV.dtype) == ((ROWS, TARGET, vocabulary), jnp.float32)
    assert (logits_BNV.shape, logits_BNV.dtype) == ((ROWS, BEAMS, vocabulary), jnp.float32)
    assert all(leaf.shape[0] == ROWS for leaf in jax.tree.leaves((state.encoder_side, state.cache)))
    assert all(leaf.shape[:2] == (ROWS, BEAMS) for leaf in jax.tree.leaves(state.per_beam))
    assert after == state


def test_padding_has_no_effect(net, batch) -> None:
    """The batch and the batch with more padding give equal results. The first sentence of the batch has no padding."""
    source_BS, target_BT = batch
    forward = net(*batch)
    np.testing.assert_array_equal(forward.memory.mask_BS, source_BS != PAD)
    assert forward.memory.mask_BS[0].all()
    assert (target_BT[0] != PAD).all()

    wide = net(*(np.pad(ids, ((0, 0), (0, extra))) for ids, extra in zip(batch, (4, 6), strict=True)))
    np.testing.assert_allclose(np.asarray(wide.logits_BTV)[:, :TARGET], forward.logits_BTV, atol=1e-4)
    for name, weights in (forward.memory.attention | forward.decoded.attention).items():
        wider = np.asarray((wide.memory.attention | wide.decoded.attention)[name])
        np.testing.assert_allclose(wider[:, :, : weights.shape[2], : weights.shape[3]], weights, atol=1e-4)
    for row, length in enumerate((7, 4, 1, 5)):
        states_SD, wider_SD = (np.asarray(out.memory.states_BSD)[row, :length] for out in (forward, wide))
        np.testing.assert_allclose(wider_SD, states_SD, atol=1e-4)


def test_an_empty_row_is_harmless(net, batch) -> None:
    source_BS, target_BT = (np.where(np.arange(ROWS)[:, None] == 2, PAD, ids) for ids in batch)
    logits_BTV, found_BTV = net(source_BS, target_BT).logits_BTV, net(*batch).logits_BTV
    assert np.isfinite(logits_BTV).all()
    others = [0, 1, 3]
    np.testing.assert_allclose(np.asarray(logits_BTV)[others], np.asarray(found_BTV)[others], atol=1e-5)


def test_decoding_is_causal(net, batch) -> None:
    source_BS, target_BT = batch
    before_BTV = net(*batch).logits_BTV
    for position in range(TARGET):
        changed_BT = target_BT.copy()
        changed_BT[:, position:] = (changed_BT[:, position:] + 7) % 20 + 1
        difference_T = np.abs(net(source_BS, changed_BT).logits_BTV - before_BTV).max(axis=(0, 2))
        assert (difference_T[:position] <= 1e-5).all()
        assert (difference_T[position:] > 1e-2).all()


def test_every_source_token_has_an_effect(net, batch) -> None:
    """On every position of the output."""
    source_BS, target_BT = batch
    before_BTV = net(*batch).logits_BTV
    for position in range(SOURCE):
        changed_BS = source_BS.copy()
        changed_BS[:, position] = np.where(source_BS[:, position] == PAD, PAD, source_BS[:, position] % 20 + 2)
        difference_BT = np.abs(net(changed_BS, target_BT).logits_BTV - before_BTV).max(axis=2)
        real_B = source_BS[:, position] != PAD
        assert (difference_BT[real_B] > 1e-4).all()  # small for an LSTM
        assert (difference_BT[~real_B] <= 1e-5).all()


def test_dropout_is_a_function_of_its_key(net, batch) -> None:
    plain = net(*batch).logits_BTV
    for kind in ("embedding", "sublayer"):
        rates = {"embedding": jnp.float32(0), "sublayer": jnp.float32(0)} | {kind: jnp.float32(0.5)}
        first, again, other = (
            net(*batch, Dropout.from_key(jax.random.key(seed), rates)).logits_BTV for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert min(np.abs(first - plain).max(), np.abs(first - other).max()) > 1e-2


def replaced(old, rows: np.ndarray, new) -> np.ndarray:
    """Replaces some rows of an array."""
    array = np.array(old)
    array[rows] = np.asarray(new)[rows]
    return array


def test_steps_equal_decode(net, steps, batch) -> None:
    """For hypotheses that are reordered between steps: a step reads the history of its own hypothesis.

    Each sentence starts one step after the one before it, so that all are at different positions.
    """
    source_BS, _ = batch
    start, step = steps
    generator = np.random.default_rng(5)
    token_BNT = generator.integers(1, 23, (ROWS, BEAMS, TARGET)).astype(np.int32)
    memory = net(*batch).memory
    state = start(memory)
    encoder_side = jax.tree.map(np.array, state.encoder_side)
    history_BNT = np.zeros((ROWS, BEAMS, TARGET), np.int32)
    logits_BNTV = np.zeros((ROWS, BEAMS, TARGET, 23))
    for tick in range(TARGET + ROWS - 1):
        position_B = np.clip(tick - np.arange(ROWS), 0, TARGET - 1)
        rows = np.flatnonzero(position_B == tick - np.arange(ROWS))
        token_BN = token_BNT[np.arange(ROWS), :, position_B]
        new_BNV, after = step(state, token_BN, position_B)
        # As in a search: each beam continues a parent hypothesis.
        parent_BN = generator.integers(0, BEAMS, (ROWS, BEAMS))
        parents = (np.arange(ROWS)[:, None], parent_BN)
        after = after._replace(per_beam=jax.tree.map(lambda leaf, at=parents: np.asarray(leaf)[at], after.per_beam))
        state = jax.tree.map(lambda old, new, at=rows: replaced(old, at, new), state, after)
        history_BNT[rows, :, position_B[rows]] = token_BN[rows]
        logits_BNTV[rows, :, position_B[rows]] = np.asarray(new_BNV)[rows]
        for array in (history_BNT, logits_BNTV):
            array[rows] = array[parents][rows]
    jax.tree.map(np.testing.assert_array_equal, state.encoder_side, encoder_side)
    for beam in range(BEAMS):
        expected_BTV = net(source_BS, history_BNT[:, beam]).logits_BTV
        np.testing.assert_allclose(logits_BNTV[:, beam], expected_BTV, atol=1e-4)
    assert len(np.unique(history_BNT.reshape(-1, TARGET), axis=0)) > ROWS
