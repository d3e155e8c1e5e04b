"""One training step as a pure function of a global batch. `training/parallel.py` runs it on devices."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from transformer.ops.dropout import CUTOFF, KINDS, Dropout, fold_in
from transformer.ops.losses import LossSums, fused_consistency, fused_cross_entropy
from transformer.section import require_one_of
from transformer.spec import BOS, EOS, PAD, ModelSpec, TrainSpec
from transformer.training import freezing, optimizer, schedule
from transformer.training.state import Hyperparams, ModelDef, Params, TrainState, zeros_like


class StepSums(NamedTuple):
    """The metrics of a step: sums, which add up over devices, and two properties of the update."""

    sums: LossSums  # zero if the loss is not finite
    gradient_norm: jax.Array  # of the mean gradient, before clipping; 0 while gradients accumulate
    learning_rate: jax.Array


def hyperparams(train: TrainSpec, model: ModelSpec) -> Hyperparams:
    """Returns the float32 settings that affect no shape.

    They are arguments of the compiled step, so a change of their values does not recompile it. A dropout rate of
    exactly 0 is left out, and its call sites then cost nothing. Only Muon has `adam_factor`, and only a step with
    `train.consistency` has its weight and the rate of token cutoff.
    """
    peak = schedule.peak_learning_rate(train, model)
    named = {
        "learning_rate": peak,
        "warmup_steps": train.warmup_steps,
        "steps": train.steps,
        "adam_beta1": train.adam_beta1,
        "adam_beta2": train.adam_beta2,
        "adam_epsilon": train.adam_epsilon,
        "weight_decay": train.weight_decay,
        "label_smoothing": train.label_smoothing,
        "ema_decay": train.ema_decay,
        "clip_norm": train.clip_norm or np.inf,
    }
    rates = {kind: getattr(model, f"dropout_{kind}") for kind in KINDS}
    if train.optimizer == "muon":
        named["adam_factor"] = (train.adam_learning_rate or peak) / peak
    if train.consistency > 0:
        named |= {"consistency": train.consistency, "cutoff_rate": train.cutoff_rate}
    result: Hyperparams = {name: np.float32(value) for name, value in named.items()}
    result["dropout"] = {kind: np.float32(rate) for kind, rate in rates.items() if rate > 0}
    return result


def shift_right(target_BT: jax.Array) -> jax.Array:
    """Returns the decoder's input: BOS, then the target without its last token; Section 3.1.

    In a packed row every sentence starts with BOS, which replaces the EOS of the previous one. The input is PAD where
    the target is.
    """
    start = jnp.full_like(target_BT[:, :1], BOS)
    shifted_BT = jnp.concatenate([start, target_BT[:, :-1]], axis=1)
    return jnp.where(target_BT == PAD, PAD, jnp.where(shifted_BT == EOS, BOS, shifted_BT))


def loss_sums(
    model: ModelDef,
    params: Params,
    source_BS: jax.Array,
    target_BT: jax.Array,
    smoothing: jax.Array | float,
    tokens: int | None,
    dropout: Dropout | None = None,
) -> LossSums:
    """Computes the teacher-forced loss of a batch. Padding has no weight, and rows may consist of padding only.

    Args:
      model, params: the model.
      source_BS: int32 ids.
      target_BT: int32 ids, which end with EOS.
      smoothing: ε of label smoothing.
      tokens: approximate number of tokens whose logits exist at a time; None: all.
      dropout: None in evaluation.
    """
    return loss_and_attention(model, params, source_BS, target_BT, smoothing, tokens, dropout)[0]


def loss_and_attention(
    model: ModelDef,
    params: Params,
    source_BS: jax.Array,
    target_BT: jax.Array,
    smoothing: jax.Array | float,
    tokens: int | None,
    dropout: Dropout | None = None,
) -> tuple[LossSums, dict[str, jax.Array]]:
    """Computes `loss_sums` and all attention weights by name. Unused weights cost nothing under `jit`."""
    network = model(params)
    memory = network.encode(source_BS, fold_in(dropout, 0))
    decoded = network.decode(memory, shift_right(target_BT), fold_in(dropout, 1))
    weight_BT = (target_BT != PAD).astype(jnp.float32)
    sums = fused_cross_entropy(
        network.logits, decoded.hidden_BTD, target_BT, weight_BT, jnp.asarray(smoothing, jnp.float32), tokens
    )
    return sums, memory.attention | decoded.attention


def training_sums(
    model: ModelDef,
    train: TrainSpec,
    params: Params,
    source_BS: jax.Array,
    target_BT: jax.Array,
    hyperparams: Hyperparams,
    dropout: Dropout,
) -> LossSums:
    """Computes the training objective: `loss_sums`, or `ops.losses.consistency` of two passes.

    The passes have different dropout masks; the first has those of a step without consistency. With
    `train.consistency_kind=simcut`, the second also has token cutoff, in source and target.

    Args:
      model, params: the model.
      train: settings that are fixed at trace time.
      source_BS, target_BT: as for `loss_sums`.
      hyperparams: from `hyperparams`.
      dropout: seed and rates of the step.
    """
    smoothing, tokens = hyperparams["label_smoothing"], train.loss_chunk
    if train.consistency == 0:
        return loss_sums(model, params, source_BS, target_BT, smoothing, tokens, dropout)
    network, input_BT = model(params), shift_right(target_BT)

    def hidden(seed: jax.Array, cutoff_rate: jax.Array) -> jax.Array:
        rates = dropout.rates | ({CUTOFF: cutoff_rate} if train.consistency_kind == "simcut" else {})
        one_pass = dataclasses.replace(dropout, seed=seed, rates=rates)
        memory = network.encode(source_BS, one_pass.fold_in(0))
        return network.decode(memory, input_BT, one_pass.fold_in(1)).hidden_BTD

    # `vmap` traces and compiles the model once, and masks still depend on the row in the global batch only.
    seeds = jnp.stack([dropout.seed, dropout.fold_in(2).salted_seed()])
    hidden_PBTD = jax.vmap(hidden)(seeds, jnp.stack([jnp.zeros(()), hyperparams["cutoff_rate"]]))
    weight_BT = (target_BT != PAD).astype(jnp.float32)
    strength, kind = hyperparams["consistency"], train.consistency_kind
    return fused_consistency(
        network.logits, hidden_PBTD, target_BT, weight_BT, jnp.asarray(smoothing, jnp.float32), strength, kind, tokens
    )


def initial_state(params: Params, train: TrainSpec, hyperparams: Hyperparams, key: jax.Array) -> TrainState:
    """Returns the state before the first step; `key` is the data of a random key."""
    zero = jnp.zeros((), jnp.float32)
    sentences = (zero,) if train.clip_unit == "sentence" else ()
    trained, _ = freezing.partition(params, train)
    pending = (zeros_like(trained), LossSums(zero, zero, zero), *sentences) if train.accumulate > 1 else ()
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        batch=jnp.zeros((), jnp.int32),
        key=key,
        params=params,
        optimizer=optimizer.make(train, hyperparams).init(trained),
        average=jax.tree.map(jnp.copy, params) if train.ema_decay > 0 else {},
        pending=pending,
    )


def _sentence_count(target_BT: jax.Array) -> jax.Array:
    """Returns the number of rows with a target, float32 []."""
    return jnp.sum(jnp.any(target_BT != PAD, axis=1), dtype=jnp.float32)


def _update(
    train: TrainSpec,
    state: TrainState,
    gradients: Params,
    weight: jax.Array,
    sentences: tuple[jax.Array, ...],
    hyperparams: Hyperparams,
    map_stack: optimizer.StackMap,
) -> tuple[TrainState, jax.Array, jax.Array]:
    """Makes one update from gradients summed over `weight` tokens; also returns the gradient norm and learning rate.

    With `train.clip_unit=sentence`, `sentences` holds their number, and the norm that `train.clip_norm` limits is that
    of the summed gradient divided by it. If the norm is not finite, only the step number of the state changes.
    """
    # A product, which XLA recomputes in each fusion. It would materialise the result of a division.
    scale = 1 / jnp.maximum(weight, 1)
    mean = jax.tree.map(lambda gradient: gradient * scale, gradients)
    for count in sentences:  # the same limit for the mean per token
        hyperparams = hyperparams | {"clip_norm": hyperparams["clip_norm"] * jnp.maximum(count, 1) * scale}
    step = state.step + 1
    fraction = schedule.SCHEDULES[train.schedule]
    rate = hyperparams["learning_rate"] * fraction(
        step.astype(jnp.float32), hyperparams["warmup_steps"], hyperparams["steps"]
    )
    trained, frozen = freezing.partition(state.params, train)
    change, optimizer_state = optimizer.make(train, hyperparams, map_stack).update(mean, state.optimizer, trained)
    trained = jax.tree.map(lambda old, delta: old - rate * delta, trained, change)
    params = freezing.join(trained, frozen)
    average = state.average
    if train.ema_decay > 0:
        # The decay grows with the step, so that the average soon forgets the initial parameters.
        decay = jnp.minimum(hyperparams["ema_decay"], (1.0 + step) / (10.0 + step))
        average = jax.tree.map(lambda old, new: new + decay * (old - new), average, params)
    # Dot products: a CPU need not materialise the squares.
    norm = jnp.sqrt(sum(jnp.vdot(gradient, gradient) for gradient in jax.tree.leaves(gradients))) * scale
    old = (state.params, state.optimizer, state.average)
    new = (params, optimizer_state, average)
    # A select per number, which the loops that write the state absorb, and no second branch to compile.
    params, optimizer_state, average = jax.tree.map(lambda new, old: jnp.where(jnp.isfinite(norm), new, old), new, old)
    return state._replace(step=step, params=params, optimizer=optimizer_state, average=average), norm, rate


def make_step(
    model: ModelDef,
    train: TrainSpec,
    reduce: Callable[[Any], Any] = lambda tree: tree,
    map_stack: optimizer.StackMap = optimizer.map_unsharded,
) -> Callable[..., tuple[TrainState, StepSums]]:
    """Builds the function (state, source_BS, target_BT, hyperparams, first_row) → (state, sums) for one batch.

    Args:
      model: the structure; the parameters come with the state.
      train: settings that are fixed at trace time; those that affect no shape come as `hyperparams`.
      reduce: sums a tree over devices; the identity if the step sees the global batch.
      map_stack: how devices share the work on a stack of matrices in an optimizer.

    Raises:
      ValueError: the schedule is unknown.
    """
    require_one_of("train.schedule", train.schedule, tuple(schedule.SCHEDULES))

    def step(
        state: TrainState,
        source_BS: jax.Array,
        target_BT: jax.Array,
        hyperparams: Hyperparams,
        first_row: jax.Array | int = 0,
    ) -> tuple[TrainState, StepSums]:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.batch)
        dropout = Dropout.from_key(key, hyperparams["dropout"], first_row)

        trained, frozen = freezing.partition(state.params, train)

        def loss_fn(trained: Params) -> tuple[jax.Array, LossSums]:
            params = freezing.join(trained, frozen)
            sums = training_sums(model, train, params, source_BS, target_BT, hyperparams, dropout)
            return sums.loss, sums

        gradients, sums = jax.grad(loss_fn, has_aux=True)(trained)
        sentences = (_sentence_count(target_BT),) if train.clip_unit == "sentence" else ()
        gradients, (sums, *sentences) = reduce((gradients, (sums, *sentences)))
        state = state._replace(batch=state.batch + 1)
        reported = jax.tree.map(lambda value: jnp.where(jnp.isfinite(sums.loss), value, 0), sums)
        if train.accumulate == 1:
            state, norm, rate = _update(train, state, gradients, sums.weight, tuple(sentences), hyperparams, map_stack)
            return state, StepSums(reported, norm, rate)

        pending = jax.tree.map(jnp.add, state.pending, (gradients, sums, *sentences))

        def update(state: TrainState) -> tuple[TrainState, jax.Array, jax.Array]:
            gradients, total, *sentences = pending
            state, norm, rate = _update(train, state, gradients, total.weight, tuple(sentences), hyperparams, map_stack)
            return state._replace(pending=zeros_like(state.pending)), norm, rate

        def accumulate(state: TrainState) -> tuple[TrainState, jax.Array, jax.Array]:
            zero = jnp.zeros((), jnp.float32)
            return state._replace(pending=pending), zero, zero

        state, norm, rate = jax.lax.cond(state.batch % train.accumulate == 0, update, accumulate, state)
        return state, StepSums(reported, norm, rate)

    return step
