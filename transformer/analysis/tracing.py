"""Traces every activation of a model, and replaces any of them.

    activations = trace(model, source_BS, target_BT)
    activations["decoder/1/cross_attention/weights"]  # weights_BHTS
    trace(model, source_BS, target_BT, [patch("encoder/0/self_attention/heads", 0, heads=[1])])["logits"]

Names are those of `probe.AXES` after the path of a module: "encoder/0/self_attention/query", "decoder/1/residual",
"encoder/embedding", "logits". Hidden states of an encoder that reverses the source are in the order of reading.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.analysis.probe import AXES, Edit, Probe, insert, position_axis
from transformer.layers.recurrent import Recurrent
from transformer.models.interface import Seq2Seq
from transformer.ops.masks import is_token
from transformer.section import nearest
from transformer.spec import BOS, PAD

Activations = dict[str, jax.Array]  # by name; padding has values, too


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["value", "positions", "heads"],
    meta_fields=["name", "function"],
)
@dataclasses.dataclass(frozen=True)
class Patch:
    """A replacement of one activation, or of some of its positions and heads; made by `patch`. A JAX pytree.

    Attributes:
      name: name of the activation.
      function: (old, value) to the new activation.
      value: second argument of the function: a scalar, or an array that broadcasts to the activation, with its rank.
      positions: int32 array of any shape, the positions to replace; None: all.
      heads: int32 array of any shape, the heads to replace; None: all.
    """

    name: str
    function: Callable[[jax.Array, jax.Array], jax.Array]
    value: Any
    positions: Any = None
    heads: Any = None

    def __call__(self, old: jax.Array, position: jax.Array | None) -> jax.Array:
        """Returns the patched activation; an `Edit` of `Probe`."""
        axes, axis, value = AXES[self.name.rpartition("/")[2]], position_axis(self.name), jnp.asarray(self.value)
        if position is not None and value.ndim and value.shape[axis] > 1:
            value = jax.lax.dynamic_slice_in_dim(value, position, 1, axis)
        new = jnp.broadcast_to(self.function(old, value), old.shape).astype(old.dtype)
        for chosen, along in ((self.positions, axis), (self.heads, axes.find("H"))):
            if chosen is not None:
                numbers = position[None] if position is not None and along == axis else jnp.arange(old.shape[along])
                shape = [-1 if index == along else 1 for index in range(old.ndim)]
                new = jnp.where(jnp.isin(numbers, jnp.asarray(chosen)).reshape(shape), new, old)
        return new


def patch(
    name: str,
    new: float | jax.Array | np.ndarray | Callable[[jax.Array], jax.Array],
    positions: Any = None,
    heads: Any = None,
) -> Patch:
    """Makes a patch for `trace` and `activations`.

    Patches of one activation are applied in order, and each sees the result of the one before.

    Args:
      name: name of the activation.
      new: a number, such as 0; an array that broadcasts to the activation, such as a mean or the activation of another
        sentence; or a function of the old activation, which in a recurrent decoder sees one position at a time.
      positions: numbers of the positions to replace; keys and values have those of the keys. Default: all.
      heads: numbers of the heads to replace. Default: all.
    """
    if callable(new):
        return Patch(name, _Applied(new), 0, _integers(positions), _integers(heads))
    return Patch(name, _value, new, _integers(positions), _integers(heads))


def perturb(name: str, delta: Any) -> Patch:
    """Makes a patch that adds `delta`; the gradient with respect to a delta of zeros is that of the activation."""
    return Patch(name, jnp.add, delta)


def _integers(numbers: Any) -> jax.Array | None:
    return None if numbers is None else jnp.asarray(numbers, jnp.int32)


def _value(old: jax.Array, value: jax.Array) -> jax.Array:
    del old
    return value


@dataclasses.dataclass(frozen=True)
class _Applied:
    """A function of the old activation as a function of a patch; equal for equal functions, so that `jit` caches it."""

    function: Callable[[jax.Array], jax.Array]

    def __call__(self, old: jax.Array, value: jax.Array) -> jax.Array:
        del value
        return self.function(old)


def activations(
    model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array, patches: Sequence[Patch] = ()
) -> Activations:
    """Computes every activation of a teacher-forced pass; pure, to be called inside `jax.jit`, `vmap` and `grad`.

    Args:
      model: an NNX module; it is not changed.
      source_BS: source ids with EOS, padded.
      input_BT: decoder inputs: BOS and the target without EOS.
      patches: replacements of activations.

    Raises:
      ValueError: a patch names an activation that the model does not have; the message lists the nearest names.
    """
    edits: dict[str, list[Edit]] = {}
    for item in patches:
        edits.setdefault(item.name, []).append(item)
    probe = Probe(edits)
    copy: Any = nnx.clone(cast(nnx.Module, model), graph=True)
    recurrent = any(isinstance(module, Recurrent) for _, module in nnx.iter_modules(copy, graph=True))
    insert(copy, probe)
    memory = copy.encode(source_BS)
    if recurrent:

        def read(state: Any, position: jax.Array) -> tuple[Any, None]:
            token_B1 = jax.lax.dynamic_slice_in_dim(input_BT, position, 1, axis=1)
            return copy.step(state, token_B1, jnp.full(len(token_B1), position))[1], None

        probe.loop(read, copy.start(memory, 1, input_BT.shape[1]), input_BT.shape[1])
    else:
        copy.logits(copy.decode(memory, input_BT).hidden_BTD)
    for name in edits:
        _require_name(name, probe.records)
    return probe.records


def trace(
    model: Seq2Seq,
    source_BS: np.ndarray | jax.Array | Sequence[Sequence[int]],
    target_BT: np.ndarray | jax.Array | Sequence[Sequence[int]],
    patches: Sequence[Patch] = (),
) -> Activations:
    """Returns every activation of a teacher-forced pass over a batch of pairs, by name; compiled once per shape.

    Args:
      model: an NNX module; it is not changed.
      source_BS, target_BT: int32 ids with EOS, padded with `spec.PAD`. Position t of the decoder predicts token t.
      patches: replacements of activations, from `patch`.

    Raises:
      ValueError: a patch has an unknown name, a position or head that the activation lacks, or another shape.
    """
    graph, state = nnx.split(cast(nnx.Module, model), graph=True)
    source_BS, input_BT = jnp.asarray(source_BS, jnp.int32), decoder_inputs(jnp.asarray(target_BT, jnp.int32))
    if patches:
        shapes = jax.eval_shape(functools.partial(_compiled, graph), state, source_BS, input_BT, ())
        for item in patches:
            _check(item, shapes)
    return _compiled(graph, state, source_BS, input_BT, tuple(patches))


@functools.partial(jax.jit, static_argnums=0)
def _compiled(graph: Any, state: Any, source_BS: jax.Array, input_BT: jax.Array, patches: Any) -> Activations:
    return activations(cast(Any, nnx.merge(graph, state)), source_BS, input_BT, patches)


def decoder_inputs(target_BT: jax.Array) -> jax.Array:
    """Returns BOS and the targets without their last token; PAD where the target is."""
    input_BT = jnp.concatenate([jnp.full_like(target_BT[:, :1], BOS), target_BT[:, :-1]], axis=1)
    return jnp.where(target_BT == PAD, PAD, input_BT)


def mean_activations(model: Seq2Seq, batches: Sequence[tuple[Any, Any]], names: Sequence[str]) -> Activations:
    """Returns the mean of activations over all tokens of a corpus, to replace them by; padding does not count.

    Args:
      model: an NNX module.
      batches: (source_BS, target_BT), as for `trace`.
      names: of activations without an axis of keys, such as those that end in "heads" or "output".

    Returns:
      Arrays by name, with one sentence and one position.
    """
    sums: dict[str, Any] = dict.fromkeys(names, 0)
    counts: dict[str, Any] = dict.fromkeys(names, 0)
    for source_BS, target_BT in batches:
        traced = trace(model, source_BS, target_BT)
        for name in names:
            _require_name(name, traced)
            keys = name.startswith("encoder/") or AXES[name.rpartition("/")[2]][1] == "S"
            token_BT = is_token(jnp.asarray(source_BS if keys else target_BT))
            value = traced[name]
            token = token_BT.reshape(*token_BT.shape, *[1] * (value.ndim - 2))
            sums[name] += jnp.where(token, value, 0).sum(axis=(0, 1), keepdims=True)
            counts[name] += token_BT.sum()
    return {name: sums[name] / counts[name] for name in names}


def _require_name(name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        near = nearest(name, names, count=3, cutoff=0.0)
        raise ValueError(f"no activation {name!r} in this model; the nearest names are {', '.join(near)}")


def _check(item: Patch, shapes: Mapping[str, Any]) -> None:
    """Raises ValueError unless an activation of these shapes can be patched."""
    _require_name(item.name, shapes)
    shape, axes, value = shapes[item.name].shape, AXES[item.name.rpartition("/")[2]], np.shape(item.value)
    fits = not value or (len(value) == len(shape) and all(a in (1, b) for a, b in zip(value, shape, strict=True)))
    if not fits:
        raise ValueError(f"patch of {item.name}: a value of shape {value} does not broadcast to {axes} {shape}")
    selections = {"position": (item.positions, position_axis(item.name)), "head": (item.heads, axes.find("H"))}
    for kind, (chosen, axis) in selections.items():
        size = shape[axis] if axis >= 0 else 0
        wrong = [] if chosen is None else [n for n in np.ravel(chosen).tolist() if not 0 <= n < size]
        if wrong:
            have = f"has {size}, numbered from 0" if axis >= 0 else f"has no axis of {kind}s"
            raise ValueError(f"patch of {item.name}: no {kind} {wrong[0]}; the activation {have}")
