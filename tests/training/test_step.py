"""One step on a model whose loss and gradient are a few lines of numpy."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from tests.training.bag import Bag, bag_params
from transformer.spec import BOS, EOS, PAD, Spec
from transformer.training import step as steps
from transformer.training.state import Model, TrainState

VOCABULARY, WIDTH = 11, 3
RATE, WARMUP, EPSILON, SMOOTHING = 0.3, 7, 0.1, 0.2


PARAMS = bag_params(VOCABULARY, WIDTH)
# Sentences of many lengths: parts of the batch hold different numbers of tokens. The last two rows fill up.
SOURCE_BS = np.array([[5, 7, 2], [9, 2, 0], [4, 2, 0], [6, 10, 2], [0, 0, 0], [0, 0, 0]], np.int32)
TARGET_BT = np.array(
    [[6, 7, 8, 9, 2], [5, 2, 0, 0, 0], [4, 10, 2, 0, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32
)


def make_spec(**changes: Any) -> Spec:
    """No dropout, no accumulation, no average; `model__d_model=4` sets model.d_model, `steps=5` train.steps."""
    config = base.get_config().to_dict()
    config["model"] |= {"dropout_embedding": 0.0, "dropout_sublayer": 0.0}
    config["train"] |= {
        "learning_rate": RATE,
        "warmup_steps": WARMUP,
        "adam_epsilon": EPSILON,
        "label_smoothing": SMOOTHING,
        "loss_chunk": 12,
    }
    for name, value in changes.items():
        section, key = name.split("__") if "__" in name else ("train", name)
        config[section][key] = value
    return Spec.from_config(config)


class Trainer:
    """A compiled step that leaves its arguments alone, and the state to begin with."""

    def __init__(self, **changes: Any) -> None:
        self.spec = make_spec(**changes)
        self.traces = 0
        self.numbers = steps.numbers(self.spec.train, self.spec.model)
        self.compiled: Callable[..., tuple[TrainState, steps.StepSums]] = jax.jit(
            steps.make_step(cast(Model, self.model), self.spec.train),
            compiler_options={"xla_backend_optimization_level": 0},  # half the time to compile
        )
        key = jax.random.key_data(jax.random.key(7))
        self.state = steps.initial_state(cast(Any, PARAMS), self.spec.train, self.numbers, key)

    def model(self, params: dict[str, jax.Array]) -> Bag:
        self.traces += 1
        return Bag(params)

    def __call__(
        self, state: TrainState, rows: slice = slice(None), **numbers: Any
    ) -> tuple[TrainState, steps.StepSums]:
        return self.compiled(state, SOURCE_BS[rows], TARGET_BT[rows], self.numbers | numbers)


@pytest.fixture(scope="module")
def plain() -> Trainer:
    return Trainer()


@pytest.fixture(scope="module")
def everything() -> Trainer:
    """Whatever has a number that is an argument."""
    return Trainer(
        schedule="linear",
        steps=11,
        clip_norm=0.4,
        ema_decay=0.2,
        optimizer="adamw",
        weight_decay=0.3,
        model__dropout_embedding=0.5,
        model__dropout_sublayer=0.25,
    )


def by_hand(params: dict[str, np.ndarray]) -> tuple[float, float, int, dict[str, np.ndarray]]:
    """Loss, negative log-likelihood, tokens and the loss's gradient, sentence by sentence and token by token."""
    loss = nll = 0.0
    tokens = 0
    table, output = (params[name].astype(np.float64) for name in ("table", "kernel"))
    gradient = {"table": np.zeros_like(table), "kernel": np.zeros_like(output)}
    for source, target in zip(SOURCE_BS, TARGET_BT, strict=True):
        source, target = source[source != PAD], target[target != PAD]
        before = BOS
        for token in target:
            hidden = table[source].mean(axis=0) + table[before]
            log_probability = hidden @ output - np.log(np.exp(hidden @ output).sum())
            wanted = np.full(VOCABULARY, SMOOTHING / VOCABULARY) + (1 - SMOOTHING) * (np.arange(VOCABULARY) == token)
            loss -= wanted @ log_probability
            nll -= log_probability[token]
            tokens += 1
            error = np.exp(log_probability) - wanted
            gradient["kernel"] += np.outer(hidden, error)
            gradient["table"][before] += output @ error
            for each in source:
                gradient["table"][each] += output @ error / len(source)
            before = token
    return loss, nll, tokens, gradient


def assert_close(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6)


def same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(first, second) for first, second in pairs)


def test_shift_right() -> None:
    """What follows the end of a sentence is the next one's begin, or nothing."""
    target_BT = jnp.array([[5, 6, 7, EOS], [7, EOS, PAD, PAD], [5, EOS, 6, EOS], [PAD] * 4], jnp.int32)
    shifted_BT = steps.shift_right(target_BT)
    assert shifted_BT.dtype == jnp.int32
    expected = [[BOS, 5, 6, 7], [BOS, 7, PAD, PAD], [BOS, 5, BOS, 6], [PAD] * 4]
    np.testing.assert_array_equal(shifted_BT, expected)


def test_a_step_by_hand(plain: Trainer) -> None:
    """Adam's first step from the mean gradient over tokens is g / (|g| + ε), times 1/7 of the learning rate.

    Neither padding nor the rows that fill the batch up have any part in it.
    """
    loss, nll, tokens, gradient = by_hand(PARAMS)
    state, sums = plain(plain.state)
    assert tokens == 11
    assert_close(sums.sums, type(sums.sums)(cast(Any, loss), cast(Any, nll), cast(Any, tokens)))
    mean = {name: total / tokens for name, total in gradient.items()}
    norm = np.sqrt(sum((each**2).sum() for each in mean.values()))
    assert float(sums.gradient_norm) == pytest.approx(norm, rel=1e-5)
    assert float(sums.learning_rate) == pytest.approx(RATE / WARMUP, rel=1e-6)
    assert_close(state.params, {n: PARAMS[n] - RATE / WARMUP * mean[n] / (abs(mean[n]) + EPSILON) for n in PARAMS})
    assert (int(state.step), int(state.batch)) == (1, 1)
    assert (state.average, state.pending) == ({}, ())


def test_the_learning_rate_follows_the_schedule(plain: Trainer) -> None:
    """Eq. 3: the eighth update is the first after the warm-up."""
    state, rates = plain.state, []
    for _ in range(8):
        state, sums = plain(state)
        rates.append(float(sums.learning_rate))
    assert rates == pytest.approx([RATE * n / 7 for n in range(1, 8)] + [RATE * (7 / 8) ** 0.5], rel=1e-6)


def test_parts_of_a_batch_make_the_update_of_the_whole(plain: Trainer) -> None:
    """Gradients of 8 and of 3 tokens are added and divided once; so the mean of two means would be another update."""
    parted = Trainer(accumulate=2)
    whole, parts = plain.state, parted.state
    for update in (1, 2):  # the second shows that nothing is left of the first
        whole, whole_sums = plain(whole)
        before = parts
        parts, first = parted(parts, slice(0, 3, 2))
        assert (int(parts.step), int(parts.batch)) == (update - 1, 2 * update - 1)
        assert same((parts.params, parts.optimizer), (before.params, before.optimizer))
        assert (float(first.gradient_norm), float(first.learning_rate)) == (0, 0)
        parts, second = parted(parts, slice(1, 4, 2))
        assert (int(parts.step), int(parts.batch)) == (update, 2 * update)
        assert (int(first.sums.weight), int(second.sums.weight)) == (8, 3)
        assert_close(jax.tree.map(jnp.add, first.sums, second.sums), whole_sums.sums)
        assert_close(second._replace(sums=whole_sums.sums), whole_sums)
        assert_close((parts.params, parts.optimizer), (whole.params, whole.optimizer))
        assert not any(leaf.any() for leaf in jax.tree.leaves(parts.pending))


def test_a_step_is_pure(everything: Trainer) -> None:
    state, sums = everything(everything.state)
    assert same(everything(everything.state), (state, sums))
    assert int(everything.state.step) == 0


def test_masks_come_from_the_key_and_the_number_of_the_batch(everything: Trainer) -> None:
    """Losses at the same parameters differ by their masks alone."""

    def loss(**changes: Any) -> float:
        return float(everything(everything.state._replace(**changes))[1].sums.loss)

    key = jax.random.key_data(jax.random.key(8))
    found = {loss(), loss(batch=jnp.int32(1)), loss(batch=jnp.int32(2)), loss(key=key)}
    assert len(found) == 4
    assert loss(step=jnp.int32(5)) == loss()
    # Without dropout nothing is left of either.
    rates = {kind: np.float32(0) for kind in everything.numbers["dropout"]}
    _, first = everything(everything.state, dropout=rates)
    _, other = everything(everything.state._replace(batch=jnp.int32(1), key=key), dropout=rates)
    assert same(first.sums, other.sums)
    assert float(first.sums.loss) == pytest.approx(by_hand(PARAMS)[0], rel=1e-5)


def test_the_average_of_parameters(everything: Trainer) -> None:
    """It keeps 2/11 of itself at the first update, (1 + 1) / (10 + 1), and then 0.2, for 3/12 is more."""
    state, average = everything.state, PARAMS
    assert_close(state.average, PARAMS, rtol=0)
    for kept in (2 / 11, 0.2, 0.2):
        state, _ = everything(state)
        average = {name: kept * average[name] + (1 - kept) * np.asarray(state.params[name]) for name in PARAMS}
        assert_close(state.average, average)
        assert not same(state.average, state.params)


def test_numbers_are_arguments_of_one_program(everything: Trainer) -> None:
    """Changing any of them retraces nothing, and every one has an effect."""

    def two_steps(**numbers: Any) -> TrainState:
        return everything(everything(everything.state, **numbers)[0], **numbers)[0]

    before = two_steps()
    changed: dict[str, Any] = {
        "learning_rate": 0.31,
        "warmup_steps": 1.0,
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 0.2,
        "weight_decay": 0.1,
        "label_smoothing": 0.3,
        "ema_decay": 0.1,
        "clip_norm": 0.3,
        "steps": 1.0,
    }
    assert changed.keys() | {"dropout"} == everything.numbers.keys()
    numbers = [{name: np.float32(value)} for name, value in changed.items()]
    rates = everything.numbers["dropout"]
    numbers += [{"dropout": rates | {kind: np.float32(0.75)}} for kind in rates]
    assert [each for each in numbers if same(two_steps(**each), before)] == []
    assert everything.traces == 1


def test_numbers() -> None:
    spec = make_spec(learning_rate=None, warmup_steps=16, clip_norm=0.5, model__d_model=4, model__heads=1)
    numbers = steps.numbers(spec.train, spec.model)
    assert numbers["learning_rate"] == 0.125  # 1 / √(4 · 16)
    assert numbers["clip_norm"] == 0.5
    assert steps.numbers(make_spec().train, spec.model)["clip_norm"] == np.inf
    leaves = jax.tree.leaves(numbers)
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("rate", "factor"), [(None, 1.0), (0.25, 2.0), (0.0625, 0.5)])
def test_muon_has_the_ratio_of_its_two_rates(rate: float | None, factor: float) -> None:
    spec = make_spec(optimizer="muon", learning_rate=0.125, adam_learning_rate=rate)
    assert steps.numbers(spec.train, spec.model)["adam_factor"] == factor
    assert "adam_factor" not in steps.numbers(make_spec().train, spec.model)


def test_a_rate_of_zero_is_absent() -> None:
    """Its place costs nothing: `drop` returns what it was given."""
    model = dataclasses.replace(
        make_spec().model,
        dropout_embedding=0.0,
        dropout_sublayer=0.125,
        dropout_attention=0.0,
        dropout_feed_forward=0.25,
        dropout_word=0.0,
    )
    numbers = steps.numbers(make_spec().train, model)
    assert numbers["dropout"] == {"sublayer": 0.125, "feed_forward": 0.25}


def test_an_unknown_schedule_is_refused_with_those_there_are() -> None:
    train = dataclasses.replace(make_spec().train, schedule="cosinus")
    with pytest.raises(ValueError, match=r"^train\.schedule: 'cosinus' is none of inverse_sqrt, linear, constant$"):
        steps.make_step(cast(Model, Bag), train)


def test_an_update_without_a_finite_gradient_leaves_all_as_it_was(everything: Trainer) -> None:
    """But for the counters: the next batch is another one, and the schedule goes on."""
    before, _ = everything(everything.state)
    after, sums = everything(before, label_smoothing=np.float32(np.nan))
    assert (int(after.step), int(after.batch)) == (2, 2)
    assert same(after._replace(step=before.step, batch=before.batch), before)
    assert not np.isfinite(sums.gradient_norm)
    assert [float(each) for each in sums.sums] == [0, 0, 0]  # or the mean of a hundred losses would be no number
    moved, sums = everything(after)
    assert np.isfinite(sums.gradient_norm)
    assert not same(moved.params, before.params)


def test_half_a_batch_without_a_finite_gradient_spoils_the_update_and_not_the_next(plain: Trainer) -> None:
    parted = Trainer(accumulate=2)
    before = parted.state
    state, _ = parted(before, slice(0, 3, 2), label_smoothing=np.float32(np.inf))
    state, sums = parted(state, slice(1, 4, 2))
    assert not np.isfinite(sums.gradient_norm)
    assert int(sums.sums.weight) == 3
    assert (int(state.step), int(state.batch)) == (1, 2)
    assert same((state.params, state.optimizer, state.pending), (before.params, before.optimizer, before.pending))
