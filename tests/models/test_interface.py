"""What every architecture promises the rest of the code: the methods of `Seq2Seq`, and what its docstrings say."""

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

# Every architecture as it is, and the Transformer with switches that change what a step of a search does.
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
}


@pytest.fixture(scope="module", params=MODELS)
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
    """Traced only. A step gives back the state's own types, or a search could not loop over it."""
    vocabulary = 23

    def trace(source_BS, target_BT, token_BN):
        model = build(architecture_spec(architecture, dtype=dtype), vocabulary, jax.random.key(0))
        memory = model.encode(source_BS)
        decoded = model.decode(memory, target_BT)
        state = model.start(memory, BEAMS, LONGEST)
        logits_BNV, after = model.step(state, token_BN, jnp.int32(0))
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
    assert all(leaf.shape[0] == ROWS for leaf in jax.tree.leaves((state.fixed, state.written)))
    assert all(leaf.shape[:2] == (ROWS, BEAMS) for leaf in jax.tree.leaves(state.carry))
    assert after == state


def test_padding_changes_nothing(net, batch) -> None:
    """On either side: a sentence alone without padding, the batch as it is, and the batch with more of it."""
    source_BS, target_BT = batch
    found = net(*batch)
    np.testing.assert_array_equal(found.memory.mask_BS, source_BS != PAD)

    wide = net(*(np.pad(ids, ((0, 0), (0, extra))) for ids, extra in zip(batch, (4, 6), strict=True)))
    np.testing.assert_allclose(np.asarray(wide.logits_BTV)[:, :TARGET], found.logits_BTV, atol=1e-4)
    for name, weights in (found.memory.attention | found.decoded.attention).items():
        wider = np.asarray((wide.memory.attention | wide.decoded.attention)[name])
        np.testing.assert_allclose(wider[:, :, : weights.shape[2], : weights.shape[3]], weights, atol=1e-4)

    row, length, first = 1, 4, 3
    alone = net(source_BS[row : row + 1, :length], target_BT[row : row + 1, :first])
    assert alone.memory.mask_BS.all()
    np.testing.assert_allclose(alone.logits_BTV[0], np.asarray(found.logits_BTV)[row, :first], atol=1e-4)
    np.testing.assert_allclose(alone.memory.states_BSD[0], np.asarray(found.memory.states_BSD)[row, :length], atol=1e-4)


def test_a_row_of_padding_alone_is_harmless(net, batch) -> None:
    source_BS, target_BT = (np.where(np.arange(ROWS)[:, None] == 2, PAD, ids) for ids in batch)
    logits_BTV, found_BTV = net(source_BS, target_BT).logits_BTV, net(*batch).logits_BTV
    assert np.isfinite(logits_BTV).all()
    others = [0, 1, 3]
    np.testing.assert_allclose(np.asarray(logits_BTV)[others], np.asarray(found_BTV)[others], atol=1e-5)


def test_the_future_is_not_seen(net, batch) -> None:
    source_BS, target_BT = batch
    before_BTV = net(*batch).logits_BTV
    for position in range(TARGET):
        changed_BT = target_BT.copy()
        changed_BT[:, position:] = (changed_BT[:, position:] + 7) % 20 + 1
        difference_T = np.abs(net(source_BS, changed_BT).logits_BTV - before_BTV).max(axis=(0, 2))
        assert (difference_T[:position] <= 1e-5).all()
        assert (difference_T[position:] > 1e-2).all()


def test_the_source_is_seen(net, batch) -> None:
    """All of it, by every position of the output."""
    source_BS, target_BT = batch
    before_BTV = net(*batch).logits_BTV
    for position in range(SOURCE):
        changed_BS = source_BS.copy()
        changed_BS[:, position] = np.where(source_BS[:, position] == PAD, PAD, source_BS[:, position] % 20 + 2)
        difference_BT = np.abs(net(changed_BS, target_BT).logits_BTV - before_BTV).max(axis=2)
        real_B = source_BS[:, position] != PAD
        assert (difference_BT[real_B] > 1e-4).all()  # an LSTM forgets
        assert (difference_BT[~real_B] <= 1e-5).all()


def test_dropout_is_live_and_a_function_of_its_key(net, batch) -> None:
    plain = net(*batch).logits_BTV
    for kind in ("embedding", "sublayer"):
        first, again, other = (
            net(*batch, Dropout.from_key(jax.random.key(seed), {kind: jnp.float32(0.5)})).logits_BTV
            for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert min(np.abs(first - plain).max(), np.abs(first - other).max()) > 1e-2


def test_steps_give_what_decode_gives_at_once(net, steps, batch) -> None:
    """For hypotheses that change places on the way: what a step reads is what its hypothesis has written."""
    source_BS, _ = batch
    start, step = steps
    generator = np.random.default_rng(5)
    token_BNT = generator.integers(1, 23, (ROWS, BEAMS, TARGET)).astype(np.int32)
    memory = net(*batch).memory
    state = start(memory)
    fixed = jax.tree.map(np.array, state.fixed)
    history_BNT = np.zeros((ROWS, BEAMS, 0), np.int32)
    logits_BNTV = np.zeros((ROWS, BEAMS, 0, 23))
    for position in range(TARGET):
        history_BNT = np.concatenate([history_BNT, token_BNT[:, :, position, None]], axis=2)
        new_BNV, state = step(state, token_BNT[:, :, position], jnp.int32(position))
        logits_BNTV = np.concatenate([logits_BNTV, np.asarray(new_BNV)[:, :, None]], axis=2)
        # As a search does: each place takes over a parent, with all that belongs to it.
        parent_BN = generator.integers(0, BEAMS, (ROWS, BEAMS))
        parents = (np.arange(ROWS)[:, None], parent_BN)
        state = state._replace(carry=jax.tree.map(lambda leaf, at=parents: np.asarray(leaf)[at], state.carry))
        history_BNT, logits_BNTV = history_BNT[parents], logits_BNTV[parents]
    jax.tree.map(np.testing.assert_array_equal, state.fixed, fixed)
    for beam in range(BEAMS):
        expected_BTV = net(source_BS, history_BNT[:, beam]).logits_BTV
        np.testing.assert_allclose(logits_BNTV[:, beam], expected_BTV, atol=1e-4)
    assert len(np.unique(history_BNT.reshape(-1, TARGET), axis=0)) > ROWS
