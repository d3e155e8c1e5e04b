"""One step of a model whose loss and gradient are a few lines of NumPy."""

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
from transformer.training.state import ModelDef, TrainState

VOCABULARY, WIDTH = 11, 3
RATE, WARMUP, EPSILON, SMOOTHING = 0.3, 7, 0.1, 0.2


PARAMS = bag_params(VOCABULARY, WIDTH)
# Sentences of many lengths: parts of the batch hold different numbers of tokens. The last two rows are padding.
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
    """A compiled step without donation, and its initial state."""

    def __init__(self, **changes: Any) -> None:
        self.spec = make_spec(**changes)
        self.traces = 0
        self.hyperparams = steps.hyperparams(self.spec.train, self.spec.model)
        self.compiled: Callable[..., tuple[TrainState, steps.StepSums]] = jax.jit(
            steps.make_step(cast(ModelDef, self.model), self.spec.train),
            compiler_options={"xla_backend_optimization_level": 0},  # half the time to compile
        )
        key = jax.random.key_data(jax.random.key(7))
        self.state = steps.initial_state(cast(Any, PARAMS), self.spec.train, self.hyperparams, key)

    def model(self, params: dict[str, jax.Array]) -> Bag:
        self.traces += 1
        return Bag(params)

    def __call__(
        self, state: TrainState, rows: slice = slice(None), **hyperparams: Any
    ) -> tuple[TrainState, steps.StepSums]:
        return self.compiled(state, SOURCE_BS[rows], TARGET_BT[rows], self.hyperparams | hyperparams)


@pytest.fixture(scope="module")
def plain() -> Trainer:
    return Trainer()


@pytest.fixture(scope="module")
def everything() -> Trainer:
    """A step that uses every hyperparameter."""
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
    """Computes loss, negative log-likelihood, tokens and gradient, sentence by sentence and token by token."""
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
            smoothed = np.full(VOCABULARY, SMOOTHING / VOCABULARY) + (1 - SMOOTHING) * (np.arange(VOCABULARY) == token)
            loss -= smoothed @ log_probability
            nll -= log_probability[token]
            tokens += 1
            error = np.exp(log_probability) - smoothed
            gradient["kernel"] += np.outer(hidden, error)
            gradient["table"][before] += output @ error
            for source_token in source:
                gradient["table"][source_token] += output @ error / len(source)
            before = token
    return loss, nll, tokens, gradient


def assert_close(actual: Any, expected: Any, rtol: float = 1e-5) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


def same(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(first, second) for first, second in pairs)


def test_shift_right() -> None:
    """EOS is followed by the BOS of the next sentence, or by padding."""
    target_BT = jnp.array([[5, 6, 7, EOS], [7, EOS, PAD, PAD], [5, EOS, 6, EOS], [PAD] * 4], jnp.int32)
    shifted_BT = steps.shift_right(target_BT)
    assert shifted_BT.dtype == jnp.int32
    expected = [[BOS, 5, 6, 7], [BOS, 7, PAD, PAD], [BOS, 5, BOS, 6], [PAD] * 4]
    np.testing.assert_array_equal(shifted_BT, expected)


def test_a_step_by_hand(plain: Trainer) -> None:
    """Adam's first step from the mean gradient over tokens is g / (|g| + ε), times 1/7 of the learning rate.

    Padding and padding rows have no influence.
    """
    loss, nll, tokens, gradient = by_hand(PARAMS)
    state, sums = plain(plain.state)
    assert tokens == 11
    assert_close(sums.sums, type(sums.sums)(cast(Any, loss), cast(Any, nll), cast(Any, tokens)))
    mean = {name: total / tokens for name, total in gradient.items()}
    norm = np.sqrt(sum((item**2).sum() for item in mean.values()))
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


def test_accumulated_gradients_equal_those_of_the_full_batch(plain: Trainer) -> None:
    """Gradients of 8 and of 3 tokens are summed and divided once; the mean of two means would be different."""
    parted = Trainer(accumulate=2)
    full, parts = plain.state, parted.state
    for update in (1, 2):  # the second update shows that the accumulator was reset
        full, whole_sums = plain(full)
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
        assert_close((parts.params, parts.optimizer), (full.params, full.optimizer))
        assert not any(leaf.any() for leaf in jax.tree.leaves(parts.pending))


@pytest.mark.parametrize(("share", "clipped"), [(0.5, True), (4.0, False)])
def test_clipping_by_the_gradient_per_sentence(plain: Trainer, share: float, clipped: bool) -> None:
    """The limit is for the gradient divided by four sentences, which half of the limit exceeds, not by eleven tokens.

    Rows of padding do not count. The update is Adam's for the mean gradient per token, scaled by limit / norm.
    """
    _, _, tokens, gradient = by_hand(PARAMS)
    norm = np.sqrt(sum((total**2).sum() for total in gradient.values()))
    limit = share * norm / 4
    trainer = Trainer(clip_norm=limit, clip_unit="sentence")
    state, sums = trainer(trainer.state)
    mean = {name: min(1, share) * total / tokens for name, total in gradient.items()}
    assert_close(state.params, {n: PARAMS[n] - RATE / WARMUP * mean[n] / (abs(mean[n]) + EPSILON) for n in PARAMS})
    assert float(sums.gradient_norm) == pytest.approx(norm / tokens, rel=1e-5)
    assert same(state.params, plain(plain.state)[0].params) != clipped
    assert norm / tokens < limit  # per token neither would be clipped


def test_accumulated_sentences_are_counted(plain: Trainer) -> None:
    """Parts of two sentences each are clipped as the full batch of four."""
    _, _, _, gradient = by_hand(PARAMS)
    limit = 0.1 * np.sqrt(sum((total**2).sum() for total in gradient.values())) / 4
    full, parted = (Trainer(clip_norm=limit, clip_unit="sentence", accumulate=count) for count in (1, 2))
    expected, actual = full.state, parted.state
    for _ in range(2):
        expected, _ = full(expected)
        actual, _ = parted(parted(actual, slice(0, 3, 2))[0], slice(1, 4, 2))
    assert_close(actual.params, expected.params)
    assert not any(leaf.any() for leaf in jax.tree.leaves(actual.pending))
    assert len(actual.pending) == 3
    assert len(Trainer(accumulate=2, clip_norm=limit).state.pending) == 2  # as in older checkpoints
    assert not same(actual.params, plain(plain(plain.state)[0])[0].params)


def test_a_step_is_pure(everything: Trainer) -> None:
    state, sums = everything(everything.state)
    assert same(everything(everything.state), (state, sums))
    assert int(everything.state.step) == 0


def test_dropout_masks_depend_on_the_key_and_the_batch_index(everything: Trainer) -> None:
    """At equal parameters, losses differ only by their masks."""

    def loss(**changes: Any) -> float:
        return float(everything(everything.state._replace(**changes))[1].sums.loss)

    key = jax.random.key_data(jax.random.key(8))
    actual = {loss(), loss(batch=jnp.int32(1)), loss(batch=jnp.int32(2)), loss(key=key)}
    assert len(actual) == 4
    assert loss(step=jnp.int32(5)) == loss()
    # Without dropout neither has an effect.
    rates = {kind: np.float32(0) for kind in everything.hyperparams["dropout"]}
    _, first = everything(everything.state, dropout=rates)
    _, b = everything(everything.state._replace(batch=jnp.int32(1), key=key), dropout=rates)
    assert same(first.sums, b.sums)
    assert float(first.sums.loss) == pytest.approx(by_hand(PARAMS)[0], rel=1e-5)


def test_the_average_of_parameters(everything: Trainer) -> None:
    """The decay is 2/11 = (1 + 1) / (10 + 1) at the first update, and then 0.2, which is less than 3/12."""
    state, average = everything.state, PARAMS
    assert_close(state.average, PARAMS, rtol=0)
    for decay in (2 / 11, 0.2, 0.2):
        state, _ = everything(state)
        average = {name: decay * average[name] + (1 - decay) * np.asarray(state.params[name]) for name in PARAMS}
        assert_close(state.average, average)
        assert not same(state.average, state.params)


def test_hyperparams_are_arguments_of_one_program(everything: Trainer) -> None:
    """A change of any of them does not retrace, and has an effect."""

    def two_steps(**hyperparams: Any) -> TrainState:
        return everything(everything(everything.state, **hyperparams)[0], **hyperparams)[0]

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
    assert changed.keys() | {"dropout"} == everything.hyperparams.keys()
    hyperparams = [{name: np.float32(value)} for name, value in changed.items()]
    rates = everything.hyperparams["dropout"]
    hyperparams += [{"dropout": rates | {kind: np.float32(0.75)}} for kind in rates]
    assert [item for item in hyperparams if same(two_steps(**item), before)] == []
    assert everything.traces == 1


def test_hyperparams() -> None:
    spec = make_spec(learning_rate=None, warmup_steps=16, clip_norm=0.5, model__d_model=4, model__heads=1)
    hyperparams = steps.hyperparams(spec.train, spec.model)
    assert hyperparams["learning_rate"] == 0.125  # 1 / √(4 · 16)
    assert hyperparams["clip_norm"] == 0.5
    assert steps.hyperparams(make_spec().train, spec.model)["clip_norm"] == np.inf
    leaves = jax.tree.leaves(hyperparams)
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("rate", "factor"), [(None, 1.0), (0.25, 2.0), (0.0625, 0.5)])
def test_adam_factor_is_the_ratio_of_both_learning_rates(rate: float | None, factor: float) -> None:
    spec = make_spec(optimizer="muon", learning_rate=0.125, adam_learning_rate=rate)
    assert steps.hyperparams(spec.train, spec.model)["adam_factor"] == factor
    assert "adam_factor" not in steps.hyperparams(make_spec().train, spec.model)


def test_a_rate_of_zero_is_absent() -> None:
    """Its call sites cost nothing: `drop` returns its input."""
    model = dataclasses.replace(
        make_spec().model,
        dropout_embedding=0.0,
        dropout_sublayer=0.125,
        dropout_attention=0.0,
        dropout_feed_forward=0.25,
        dropout_word=0.0,
    )
    hyperparams = steps.hyperparams(make_spec().train, model)
    assert hyperparams["dropout"] == {"sublayer": 0.125, "feed_forward": 0.25}


def test_an_unknown_schedule_is_an_error_that_lists_all() -> None:
    train = dataclasses.replace(make_spec().train, schedule="cosinus")
    with pytest.raises(ValueError, match=r"^train\.schedule: 'cosinus' is none of inverse_sqrt, linear, constant$"):
        steps.make_step(cast(ModelDef, Bag), train)


def test_an_update_with_a_nonfinite_gradient_changes_nothing(everything: Trainer) -> None:
    """Except for the counters: the next batch and the schedule continue."""
    before, _ = everything(everything.state)
    after, sums = everything(before, label_smoothing=np.float32(np.nan))
    assert (int(after.step), int(after.batch)) == (2, 2)
    assert same(after._replace(step=before.step, batch=before.batch), before)
    assert not np.isfinite(sums.gradient_norm)
    assert [float(item) for item in sums.sums] == [0, 0, 0]  # otherwise the mean of a hundred losses would be NaN
    moved, sums = everything(after)
    assert np.isfinite(sums.gradient_norm)
    assert not same(moved.params, before.params)


def test_a_nonfinite_half_batch_skips_only_its_update(plain: Trainer) -> None:
    parted = Trainer(accumulate=2)
    before = parted.state
    state, _ = parted(before, slice(0, 3, 2), label_smoothing=np.float32(np.inf))
    state, sums = parted(state, slice(1, 4, 2))
    assert not np.isfinite(sums.gradient_norm)
    assert int(sums.sums.weight) == 3
    assert (int(state.step), int(state.batch)) == (1, 2)
    assert same((state.params, state.optimizer, state.pending), (before.params, before.optimizer, before.pending))
