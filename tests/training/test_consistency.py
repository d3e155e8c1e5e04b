"""Consistency regularisation (R-Drop, SimCut) equals two passes and a divergence that are written out in NumPy."""

import dataclasses
import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from tests.training.bag import Bag, bag_params
from transformer.models.build import abstract_model
from transformer.ops.dropout import Dropout
from transformer.spec import EOS, PAD, Spec
from transformer.training import population
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import MeshPartitioner, PmapPartitioner, PopulationPartitioner
from transformer.training.state import ModelDef

VOCABULARY, SMOOTHING, STRENGTH, CUTOFF = 13, 0.2, 0.7, 0.4
KINDS = ("rdrop", "simcut")
BAG = cast(ModelDef, Bag)
SOURCE_BS = np.array([[5, 7, EOS], [9, EOS, 0], [4, EOS, 0], [6, 10, EOS], [8, EOS, 0], [0, 0, 0]], np.int32)
TARGET_BT = np.array(
    [[6, 7, 8, 9, 2], [5, 2, 0, 0, 0], [4, 10, 2, 0, 0], [2, 0, 0, 0, 0], [7, 7, 2, 0, 0], [0] * 5], np.int32
)
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def make_spec(kind: str = "rdrop", **changes: Any) -> Spec:
    config = base.get_config().to_dict()
    config["model"] |= {"dropout_embedding": 0.3, "dropout_sublayer": 0.2}
    config["train"] |= {"learning_rate": 0.1, "warmup_steps": 3, "adam_epsilon": 0.1, "label_smoothing": SMOOTHING}
    config["train"] |= {"consistency": STRENGTH, "consistency_kind": kind, "cutoff_rate": CUTOFF, "loss_chunk": 14}
    for name, value in changes.items():
        section, key = name.split("__") if "__" in name else ("train", name)
        config[section][key] = value
    return Spec.from_config(config)


def step_dropout(spec: Spec) -> Dropout:
    return Dropout.from_key(jax.random.key(7), steps.hyperparams(spec.train, spec.model)["dropout"])


@functools.partial(compiled, static_argnums=(0, 1))
def sums_of(model: ModelDef, spec: Spec, params: Any, source_BS: Any, target_BT: Any) -> Any:
    numbers, dropout = steps.hyperparams(spec.train, spec.model), step_dropout(spec)

    def loss(params: Any) -> Any:
        sums = steps.training_sums(model, spec.train, params, source_BS, target_BT, numbers, dropout)
        return sums.loss, sums

    return jax.grad(loss, has_aux=True)(params)


@functools.partial(compiled, static_argnums=0)
def logits_of(model: ModelDef, params: Any, source_BS: Any, target_BT: Any, dropout: Dropout) -> jax.Array:
    network = model(params)
    memory = network.encode(source_BS, dropout.fold_in(0))
    return network.logits(network.decode(memory, steps.shift_right(target_BT), dropout.fold_in(1)).hidden_BTD)


def by_hand(model: ModelDef, spec: Spec, params: Any, source_BS: Any, target_BT: Any) -> dict[str, float]:
    """Two separate passes, and the sums over tokens in float64."""
    dropout = step_dropout(spec)
    other = dataclasses.replace(dropout, seed=dropout.fold_in(2).salted_seed())
    if spec.train.consistency_kind == "simcut":
        other = dataclasses.replace(other, rates=dropout.rates | {"cutoff": jnp.float32(CUTOFF)})
    logits = (logits_of(model, params, source_BS, target_BT, each) for each in (dropout, other))
    log_p_BTV, log_q_BTV = (
        each - np.log(np.exp(each).sum(axis=-1, keepdims=True)) for each in (np.float64(each) for each in logits)
    )
    loss = nll = 0.0
    for row, position in zip(*np.nonzero(target_BT), strict=True):
        token = target_BT[row, position]
        one_hot = np.eye(log_p_BTV.shape[-1])[token]
        smoothed = (1 - SMOOTHING) * one_hot + SMOOTHING / len(one_hot)
        log_p, log_q = log_p_BTV[row, position], log_q_BTV[row, position]
        p, q = np.exp(log_p), np.exp(log_q)
        forward, backward = (p * (log_p - log_q)).sum(), (q * (log_q - log_p)).sum()
        assert min(forward, backward) >= -1e-9
        if spec.train.consistency_kind == "rdrop":
            loss += -(smoothed @ log_p + smoothed @ log_q) / 2 + STRENGTH * (forward + backward) / 2
            nll += -(log_p[token] + log_q[token]) / 2
        else:
            loss += -smoothed @ log_p + STRENGTH * forward
            nll += -log_p[token]
    return {"loss": loss, "nll": nll, "weight": float((target_BT != PAD).sum())}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [None, 1, 14])
def test_it_equals_two_passes(kind: str, chunk: int | None) -> None:
    """For any size of chunks; the second pass differs by its dropout masks, and by cutoff."""
    spec = make_spec(kind, loss_chunk=chunk)
    _, sums = sums_of(BAG, spec, bag_params(VOCABULARY), SOURCE_BS, TARGET_BT)
    expected = by_hand(BAG, spec, bag_params(VOCABULARY), SOURCE_BS, TARGET_BT)
    assert {name: float(value) for name, value in sums._asdict().items()} == pytest.approx(expected, rel=1e-5)
    _, single = sums_of(BAG, make_spec(consistency=0.0), bag_params(VOCABULARY), SOURCE_BS, TARGET_BT)
    assert float(sums.loss) - float(single.loss) > 0.1
    if kind == "simcut":  # the first pass is that of a step without consistency
        assert float(sums.nll) == pytest.approx(float(single.nll), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_both_passes(kind: str) -> None:
    """Compared with finite differences: no gradient is stopped."""
    spec, params = make_spec(kind), bag_params(VOCABULARY)
    gradient, _ = sums_of(BAG, spec, params, SOURCE_BS, TARGET_BT)
    direction = np.random.default_rng(3).normal(size=params["table"].shape).astype(np.float32)
    distance = 1e-2
    up, down = (
        by_hand(BAG, spec, params | {"table": params["table"] + sign * distance * direction}, SOURCE_BS, TARGET_BT)
        for sign in (1, -1)
    )
    expected = (up["loss"] - down["loss"]) / (2 * distance)
    assert float(np.vdot(gradient["table"], direction)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_of_a_transformer(kind: str) -> None:
    sizes = {"d_model": 6, "d_ff": 7, "heads": 3, "encoder_layers": 1, "decoder_layers": 1, "norm": "pre"}
    spec = make_spec(kind, **{f"model__{key}": value for key, value in sizes.items()})
    model, shapes = states.split(abstract_model(spec.model, VOCABULARY, packed=True))
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)
    source_BS = np.array([[5, 9, EOS, 6, EOS, 0], [7, EOS, 4, 8, EOS, 5]], np.int32)
    target_BT = np.array([[8, EOS, 7, 9, EOS], [5, EOS, 6, EOS, PAD]], np.int32)
    _, sums = sums_of(model, spec, params, source_BS, target_BT)
    expected = by_hand(model, spec, params, source_BS, target_BT)
    assert {name: float(value) for name, value in sums._asdict().items()} == pytest.approx(expected, rel=1e-5)


def test_zero_is_a_single_pass() -> None:
    """The program has no second pass and no argument for it."""
    spec = make_spec(consistency=0.0)
    assert not {"consistency", "cutoff_rate"} & set(steps.hyperparams(spec.train, spec.model))
    numbers, dropout = steps.hyperparams(spec.train, spec.model), step_dropout(spec)
    params, batch = bag_params(VOCABULARY), (jnp.asarray(SOURCE_BS), jnp.asarray(TARGET_BT))

    def single(params: Any) -> Any:
        return steps.loss_sums(BAG, params, *batch, numbers["label_smoothing"], 14, dropout)

    def training(params: Any) -> Any:
        return steps.training_sums(BAG, spec.train, params, *batch, numbers, dropout)

    texts = [jax.jit(function).lower(params).as_text() for function in (single, training)]
    assert texts[0].replace("jit_single", "jit_training") == texts[1]


def train(partitioner: Any, spec: Spec, number: int = 2) -> tuple[list[float], Any, int]:
    """Trains a few batches; returns losses, parameters and the number of traces."""
    traces = []

    def model(params: Any) -> Bag:
        traces.append(1)
        return Bag(params)

    step, losses = partitioner.compile_step(cast(ModelDef, model), spec.train), []
    numbers = steps.hyperparams(spec.train, spec.model)
    key = jax.random.key_data(jax.random.key(7))
    state = partitioner.put_state(steps.initial_state(cast(Any, bag_params(VOCABULARY)), spec.train, numbers, key))
    for _ in range(number):
        arrays = (partitioner.shard(SOURCE_BS), partitioner.shard(TARGET_BT))
        state, sums = step(state, *arrays, partitioner.put_state(numbers))
        losses.append(float(sums.sums.loss))
    return losses, jax.device_get(partitioner.unreplicate(state)).params, len(traces)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_does_not_depend_on_the_devices(kind: str) -> None:
    """Also with accumulation over two batches."""
    spec = make_spec(kind, accumulate=2)
    losses, params, _ = train(MeshPartitioner(jax.devices()[:1]), spec)
    for partitioner in (MeshPartitioner(), PmapPartitioner()):
        other_losses, other_params, _ = train(partitioner, spec)
        np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-5), params, other_params)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_members_of_a_population_have_their_own_weight() -> None:
    specs = [make_spec("simcut", consistency=weight, cutoff_rate=rate) for weight, rate in ((0.5, 0.4), (3.0, 0.1))]
    numbers = population.hyperparams(specs)
    np.testing.assert_allclose(numbers["consistency"], [0.5, 3.0])
    partitioner = PopulationPartitioner(2, jax.devices()[:1])
    key = jax.random.key_data(jax.random.key(7))
    members = [
        steps.initial_state(
            cast(Any, bag_params(VOCABULARY)), spec.train, steps.hyperparams(spec.train, spec.model), key
        )
        for spec in specs
    ]
    step = partitioner.compile_step(BAG, specs[0].train)
    sides = (np.stack([side, side]) for side in (SOURCE_BS, TARGET_BT))
    _, sums = step(
        partitioner.put_state(population.stack(members)),
        *map(partitioner.shard, sides),
        partitioner.put_state(numbers),
    )
    separate = [train(MeshPartitioner(jax.devices()[:1]), spec, 1)[0][0] for spec in specs]
    np.testing.assert_allclose(np.asarray(sums.sums.loss), separate, rtol=1e-5)
    assert abs(separate[0] - separate[1]) > 0.1
