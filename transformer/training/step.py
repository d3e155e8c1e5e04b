"""One training step as a pure function of a whole batch; what runs it on devices is `training/parallel.py`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from transformer.ops.dropout import KINDS, Dropout, at_site
from transformer.ops.losses import LossSums, fused_cross_entropy
from transformer.spec import BOS, EOS, PAD, ModelSpec, TrainSpec
from transformer.training import optimizer, schedule
from transformer.training.state import Model, Params, TrainState, zeros_like

Numbers = dict[str, Any]


class StepSums(NamedTuple):
    """What a step reports: sums that add up over devices, and two facts about the update."""

    sums: LossSums  # zero where the loss is not finite
    gradient_norm: jax.Array  # of the mean gradient, before clipping; 0 while gradients accumulate
    learning_rate: jax.Array


def numbers(train: TrainSpec, model: ModelSpec) -> Numbers:
    """The settings that change no shape, float32: arguments of the step, so that changing one recompiles nothing.

    A dropout rate of exactly 0 is left out: its place then costs nothing. `adam_factor` is for Muon alone.
    """
    peak = schedule.peak(train, model)
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
    result: Numbers = {name: np.float32(value) for name, value in named.items()}
    result["dropout"] = {kind: np.float32(rate) for kind, rate in rates.items() if rate > 0}
    return result


def shift_right(target_BT: jax.Array) -> jax.Array:
    """The decoder's input: BOS, then the target without its last token; Section 3.1.

    A row may hold several sentences, each of which begins with BOS then, in the place of the EOS before. Where nothing
    is to be predicted stands PAD.
    """
    begin = jnp.full_like(target_BT[:, :1], BOS)
    before_BT = jnp.concatenate([begin, target_BT[:, :-1]], axis=1)
    return jnp.where(target_BT == PAD, PAD, jnp.where(before_BT == EOS, BOS, before_BT))


def loss_sums(
    model: Model,
    params: Params,
    source_BS: jax.Array,
    target_BT: jax.Array,
    smoothing: jax.Array | float,
    tokens: int | None,
    dropout: Dropout | None = None,
) -> LossSums:
    """Teacher-forced loss of a batch; padding, and rows of padding alone, have no weight.

    Logits of about so many `tokens` exist at a time; None: of all.
    """
    return loss_and_attention(model, params, source_BS, target_BT, smoothing, tokens, dropout)[0]


def loss_and_attention(
    model: Model,
    params: Params,
    source_BS: jax.Array,
    target_BT: jax.Array,
    smoothing: jax.Array | float,
    tokens: int | None,
    dropout: Dropout | None = None,
) -> tuple[LossSums, dict[str, jax.Array]]:
    """`loss_sums`, and the weights of every attention by name, which cost nothing where nobody uses them."""
    net = model(params)
    memory = net.encode(source_BS, at_site(dropout, 0))
    decoded = net.decode(memory, shift_right(target_BT), at_site(dropout, 1))
    weight_BT = (target_BT != PAD).astype(jnp.float32)
    sums = fused_cross_entropy(
        net.logits, decoded.hidden_BTD, target_BT, weight_BT, jnp.asarray(smoothing, jnp.float32), tokens
    )
    return sums, memory.attention | decoded.attention


def initial_state(params: Params, train: TrainSpec, numbers: Numbers, key: jax.Array) -> TrainState:
    """The state before the first step; `key` is the data of a random key."""
    scalar = jnp.zeros((), jnp.float32)
    pending = (zeros_like(params), LossSums(scalar, scalar, scalar)) if train.accumulate > 1 else ()
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        batch=jnp.zeros((), jnp.int32),
        key=key,
        params=params,
        optimizer=optimizer.make(train, numbers).init(params),
        average=jax.tree.map(jnp.copy, params) if train.ema_decay > 0 else {},
        pending=pending,
    )


def _update(
    train: TrainSpec,
    state: TrainState,
    gradients: Params,
    weight: jax.Array,
    numbers: Numbers,
    divide: optimizer.Divide,
) -> tuple[TrainState, jax.Array, jax.Array]:
    """One update from summed gradients; also returns the gradient's norm and the learning rate.

    Where the norm is not finite, all stays as it was but for the number of the update.
    """
    # A product and not a quotient, which XLA would work out once and write down: it is cheap enough to work out again.
    share = 1 / jnp.maximum(weight, 1)
    mean = jax.tree.map(lambda gradient: gradient * share, gradients)
    step = state.step + 1
    fraction = schedule.SCHEDULES[train.schedule]
    rate = numbers["learning_rate"] * fraction(step.astype(jnp.float32), numbers["warmup_steps"], numbers["steps"])
    change, optimizer_state = optimizer.make(train, numbers, divide).update(mean, state.optimizer, state.params)
    params = jax.tree.map(lambda old, each: old - rate * each, state.params, change)
    average = state.average
    if train.ema_decay > 0:
        # Early on the average follows faster, so that the initial parameters are soon forgotten.
        decay = jnp.minimum(numbers["ema_decay"], (1.0 + step) / (10.0 + step))
        average = jax.tree.map(lambda old, new: new + decay * (old - new), average, params)
    # Products, for which a CPU need not write the squares down.
    norm = jnp.sqrt(sum(jnp.vdot(gradient, gradient) for gradient in jax.tree.leaves(gradients))) * share
    kept = (state.params, state.optimizer, state.average)
    new = (params, optimizer_state, average)
    # One comparison a number of what is written in any case, and no second program for the case that never comes.
    params, optimizer_state, average = jax.tree.map(lambda one, old: jnp.where(jnp.isfinite(norm), one, old), new, kept)
    return state._replace(step=step, params=params, optimizer=optimizer_state, average=average), norm, rate


def make_step(
    model: Model,
    train: TrainSpec,
    reduce: Callable[[Any], Any] = lambda tree: tree,
    divide: optimizer.Divide = optimizer.undivided,
) -> Callable[..., tuple[TrainState, StepSums]]:
    """The function (state, source_BS, target_BT, numbers, first_row) → (state, sums) of one batch.

    Args:
      model: the structure; parameters come with the state.
      train: what is decided at build; its numbers come as an argument.
      reduce: sums a tree over devices; the identity where the whole batch is seen.
      divide: how devices share what an optimizer does with a stack of matrices.

    Raises:
      ValueError: an unknown schedule.
    """
    if train.schedule not in schedule.SCHEDULES:
        raise ValueError(f"train.schedule: {train.schedule!r} is none of {', '.join(schedule.SCHEDULES)}")

    def step(
        state: TrainState,
        source_BS: jax.Array,
        target_BT: jax.Array,
        numbers: Numbers,
        first_row: jax.Array | int = 0,
    ) -> tuple[TrainState, StepSums]:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.batch)
        dropout = Dropout.from_key(key, numbers["dropout"], first_row)

        def summed(params: Params) -> tuple[jax.Array, LossSums]:
            sums = loss_sums(model, params, source_BS, target_BT, numbers["label_smoothing"], train.loss_chunk, dropout)
            return sums.loss, sums

        gradients, sums = reduce(jax.grad(summed, has_aux=True)(state.params))
        state = state._replace(batch=state.batch + 1)
        reported = jax.tree.map(lambda each: jnp.where(jnp.isfinite(sums.loss), each, 0), sums)
        if train.accumulate == 1:
            state, norm, rate = _update(train, state, gradients, sums.weight, numbers, divide)
            return state, StepSums(reported, norm, rate)

        gradients, total = jax.tree.map(jnp.add, state.pending, (gradients, sums))

        def update(state: TrainState) -> tuple[TrainState, jax.Array, jax.Array]:
            state, norm, rate = _update(train, state, gradients, total.weight, numbers, divide)
            return state._replace(pending=zeros_like(state.pending)), norm, rate

        def wait(state: TrainState) -> tuple[TrainState, jax.Array, jax.Array]:
            zero = jnp.zeros((), jnp.float32)
            return state._replace(pending=(gradients, total)), zero, zero

        state, norm, rate = jax.lax.cond(state.batch % train.accumulate == 0, update, wait, state)
        return state, StepSums(reported, norm, rate)

    return step
