"""The seam between a model and its analysis: every activation passes through a `Probe`, which edits and records it.

Models have no hooks. In a copy of the model, the wrappers of this file replace its parts: they compute the same and
pass each activation to the probe under a name, such as "decoder/0/cross_attention/weights". So a forward pass of
training or search contains nothing of this.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.attention import Attention, MultiHeadAttention
from transformer.layers.layer_norm import LayerNorm, RMSNorm
from transformer.layers.recurrent import Bidirectional, GRUCell, LSTMCell, Recurrent
from transformer.layers.sublayer import Sublayer
from transformer.ops.attention import context
from transformer.ops.dropout import Dropout
from transformer.ops.masks import Mask, is_token, materialise
from transformer.spec import PAD

# Axes of an activation by the last part of its name. T is the axis of positions, also in an encoder; S is that of keys.
AXES = {
    "token_embedding": "BTD",
    "embedding": "BTD",  # the sum of token embedding and positions, the first value of the residual stream
    "input": "BTD",  # of the function of a sub-layer
    "query": "BTHK",
    "key": "BSHK",
    "value": "BSHU",
    "scores": "BHTS",  # before the mask
    "weights": "BHTS",
    "context": "BTHU",  # weighted sum of the values
    "heads": "BTHD",  # what each head adds to the output
    "output": "BTD",  # of the function of a sub-layer; of the encoder; the decoder's is the input of the logits
    "residual": "BTD",  # the residual stream after a sub-layer or a layer
    "scale": "BTD",  # 1 / standard deviation of a norm; D is 1
    "hidden": "BTR",
    "cell": "BTR",
    "from_state": "BTL",  # terms of RNNsearch's output layer
    "from_token": "BTL",
    "from_context": "BTL",
    "logits": "BTV",
}

Edit = Callable[[jax.Array, jax.Array | None], jax.Array]  # (value, position) to the new value


def position_axis(name: str) -> int:
    """Returns the axis of positions: of queries in scores and weights, of keys in keys and values."""
    axes = AXES[name.rpartition("/")[2]]
    return axes.index("T" if "T" in axes else "S")


class Probe:
    """Edits the activations that pass through it, and records them.

    Args:
      edits: functions by name of the activation, applied in order. They receive the number of the position if the model
        computes one position at a time, and None if the value has all positions.
    """

    def __init__(self, edits: Mapping[str, Sequence[Edit]]) -> None:
        self._edits = edits
        self._position: jax.Array | None = None
        self.records: dict[str, jax.Array] = {}

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        """Returns the edited value."""
        for edit in self._edits.get(name, ()):
            value = edit(value, self._position)
        self.records[name] = value
        return value

    def loop(
        self, body: Callable[[Any, jax.Array], tuple[Any, Any]], carry: Any, length: int, reverse: bool = False
    ) -> tuple[Any, Any]:
        """Runs `jax.lax.scan` over positions; the activations in `body` get an axis of all positions.

        Args:
          body: (carry, position) to the new carry and an output.
          carry: initial carry.
          length: number of positions.
          reverse: whether the last position is first.
        """
        before = self.records

        def step(carry: Any, position: jax.Array) -> tuple[Any, Any]:
            self.records, self._position = {}, position
            carry, output = body(carry, position)
            return carry, (output, self.records)

        carry, (outputs, records) = jax.lax.scan(step, carry, jnp.arange(length), reverse=reverse)
        self.records, self._position = before, None
        for name, stacked in records.items():
            axis = position_axis(name)
            self.records[name] = jnp.moveaxis(stacked.squeeze(axis + 1), 0, axis)
        return carry, outputs


class _Output:
    """Passes the result of a module on."""

    def __init__(self, module: Callable[..., jax.Array], probe: Probe, name: str) -> None:
        self.module, self.probe, self.name = module, probe, name

    def __call__(self, *args: jax.Array) -> jax.Array:
        return self.probe(self.name, self.module(*args))


class _SingleHead:
    """Passes the result of a layer on, with an axis for the only head."""

    def __init__(self, layer: Callable[[jax.Array], jax.Array], probe: Probe, name: str) -> None:
        self.layer, self.probe, self.name = layer, probe, name

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        return self.probe(self.name, self.layer(x_BTD)[:, :, None])[:, :, 0]


class _Embedding:
    """Embeds tokens, passes the embeddings on in the order of the sentence, then reorders them as the model does."""

    def __init__(
        self, embedding: Callable[[jax.Array], jax.Array], probe: Probe, name: str, order: Callable[..., jax.Array]
    ) -> None:
        self.embedding, self.probe, self.name, self.order = embedding, probe, name, order

    def __call__(self, token_BT: jax.Array) -> jax.Array:
        x_BTD = self.probe(self.name, self.embedding(token_BT))
        number_BT = jnp.where(is_token(token_BT), 1 + jnp.arange(token_BT.shape[1])[None], PAD)
        index_BT = jnp.maximum(self.order(number_BT) - 1, 0)
        return jnp.take_along_axis(x_BTD, index_BT[:, :, None], axis=1)


class _Logits:
    """The output projection."""

    def __init__(self, output: Any, probe: Probe) -> None:
        self.output, self.probe = output, probe

    def logits(self, hidden_BTD: jax.Array) -> jax.Array:
        return self.probe("logits", self.output.logits(self.probe("decoder/output", hidden_BTD)))


class _Norm:
    """A norm, computed as x̂ · scale, where the scale is an activation."""

    def __init__(self, norm: LayerNorm | RMSNorm, probe: Probe, name: str) -> None:
        self.norm, self.probe, self.name = norm, probe, name

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        norm, x = self.norm, x_BTD.astype(jnp.float32)
        x = x - jnp.mean(x, axis=-1, keepdims=True) if isinstance(norm, LayerNorm) else x
        scale = jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + norm.epsilon)
        normal = x * self.probe(f"{self.name}/scale", scale) * norm.scale_D[...][None, None]
        bias_D = norm.bias_D[...] if isinstance(norm, LayerNorm) else jnp.zeros(1)
        return (normal + bias_D[None, None]).astype(x_BTD.dtype)


class _Sublayer:
    """A sub-layer: its function's input and output, and the residual stream before and after."""

    def __init__(self, sublayer: Sublayer, probe: Probe, path: Sequence[Any]) -> None:
        stack, layer, attribute = path
        kind = attribute.removesuffix("_sublayer")
        self.sublayer, self.probe, self.name = sublayer, probe, f"{stack}/{layer}/{kind}"
        self.before = f"{stack}/embedding" if (layer, kind) == (0, "self_attention") else None
        self.after = f"{stack}/{layer}/residual" if kind == "feed_forward" else f"{self.name}/residual"
        if sublayer.norm is not None:
            _replace(sublayer, ("norm",), _norm(sublayer.norm, probe, self.name))

    def __call__(
        self, x_BTD: jax.Array, function: Callable[[jax.Array], tuple[jax.Array, Any]], dropout: Dropout | None = None
    ) -> tuple[jax.Array, Any]:
        x_BTD = self.probe(self.before, x_BTD) if self.before else x_BTD

        def probed(x: jax.Array) -> tuple[jax.Array, Any]:
            y, extra = function(self.probe(f"{self.name}/input", x))
            return self.probe(f"{self.name}/output", y), extra

        x_BTD, extra = self.sublayer(x_BTD, probed, dropout)
        return self.probe(self.after, x_BTD), extra


class _Attention:
    """Attention of all heads by the reference implementation."""

    def __init__(self, attention: Attention, probe: Probe, name: str) -> None:
        self.attention, self.probe, self.name = attention, probe, name

    def __call__(
        self,
        query_BTHK: jax.Array,
        key_BSHK: jax.Array,
        value_BSHU: jax.Array,
        mask: Mask,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        del dropout

        def probe(part: str, value: jax.Array) -> jax.Array:
            return self.probe(f"{self.name}/{part}", value)

        query_BTHK, key_BSHK, value_BSHU = (
            probe("query", query_BTHK),
            probe("key", key_BSHK),
            probe("value", value_BSHU),
        )
        positions = (jnp.arange(query_BTHK.shape[1]), jnp.arange(key_BSHK.shape[1]))
        scores_BHTS = self.attention.scores(query_BTHK, key_BSHK)
        scores_BHTS = probe("scores", self.attention.with_distances(scores_BHTS, query_BTHK, *positions))
        weights_BHTS = probe("weights", self.attention.weights_fn(scores_BHTS, materialise(mask)))
        return probe("context", context(weights_BHTS, value_BSHU)), weights_BHTS


class _HeadOutputs:
    """The output projection of multi-head attention as a sum over heads, without the bias."""

    def __init__(self, attention: MultiHeadAttention, probe: Probe, name: str) -> None:
        self.linear, self.heads, self.probe, self.name = attention.to_output, attention.heads, probe, name

    def __call__(self, context_BTC: jax.Array) -> jax.Array:
        dtype = self.linear.dtype
        context_BTHU = context_BTC.reshape(*context_BTC.shape[:-1], self.heads, -1).astype(dtype)
        kernel_HUD = self.linear.kernel[...].astype(dtype).reshape(self.heads, context_BTHU.shape[-1], -1)
        heads_BTHD = jnp.einsum("bthu,hud->bthd", context_BTHU, kernel_HUD, preferred_element_type=jnp.float32)
        heads_BTHD = self.probe(f"{self.name}/heads", heads_BTHD)
        return (heads_BTHD.sum(axis=2) + self.linear.bias[...][None, None]).astype(dtype)


class _Context:
    """Passes the input of a layer on, which is the context of the only head."""

    def __init__(self, layer: Callable[[jax.Array], jax.Array], probe: Probe, name: str) -> None:
        self.layer, self.probe, self.name = layer, probe, name

    def __call__(self, context_BTU: jax.Array) -> jax.Array:
        return self.layer(self.probe(self.name, context_BTU[:, :, None])[:, :, 0])


class _Annotations:
    """A bidirectional encoder and its annotations."""

    def __init__(self, encoder: Bidirectional, probe: Probe) -> None:
        self.encoder, self.probe = encoder, probe

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array) -> tuple[jax.Array, Any, Any]:
        annotation_BSU, *carries = self.encoder(x_BSD, mask_BS)
        return self.probe("encoder/output", annotation_BSU), *carries


class _Recurrent:
    """A recurrent layer, one position at a time, so that an edited state changes those after it."""

    def __init__(self, layer: Recurrent, probe: Probe, name: str) -> None:
        self.layer, self.cell, self.probe = layer, _Cell(layer.cell, probe, name), probe

    def __call__(
        self, x_BTD: jax.Array, mask_BT: jax.Array, carry: Any, reverse: bool = False
    ) -> tuple[jax.Array, Any]:
        def read(carry: Any, position: jax.Array) -> tuple[Any, jax.Array]:
            arrays = (x_BTD, mask_BT[..., None])
            x_B1D, mask_B11 = (jax.lax.dynamic_slice_in_dim(array, position, 1, axis=1) for array in arrays)
            new = self.step(x_B1D, carry)
            carry = jax.tree.map(lambda new, old: jnp.where(mask_B11, new, old), new, carry)
            return carry, carry.hidden[:, 0]

        carry = jax.tree.map(lambda leaf: leaf[:, None], carry)  # one hypothesis, as in a search
        carry, hidden_TBR = self.probe.loop(read, carry, x_BTD.shape[1], reverse)
        return hidden_TBR.swapaxes(0, 1), jax.tree.map(lambda leaf: leaf[:, 0], carry)

    def step(self, x_BND: jax.Array, carry: Any) -> Any:
        return self.cell(self.layer.to_gates(x_BND), carry)


class _Cell:
    """A cell of a recurrent layer: its state after each position."""

    def __init__(self, cell: LSTMCell | GRUCell, probe: Probe, name: str) -> None:
        self.cell, self.probe, self.name = cell, probe, name
        self.initial_carry = cell.initial_carry

    def __call__(self, gates: jax.Array, carry: Any) -> Any:
        new = self.cell(gates, carry)
        fields = new._asdict()
        return type(new)(**{field: self.probe(f"{self.name}/{field}", value) for field, value in fields.items()})


def insert(model: Any, probe: Probe) -> None:
    """Replaces the parts of a model, an NNX module, by wrappers that pass activations to the probe."""
    modules = list(nnx.iter_modules(model, graph=True))
    order = getattr(model, "source_order", _same)
    if order is not _same:  # the wrapper of the embeddings reorders them, after the probe
        _replace(model, ("source_order",), _same)
    _replace(model, ("embed_source",), _Embedding(model.embed_source, probe, "encoder/token_embedding", order))
    _replace(model, ("embed_target",), _Embedding(model.embed_target, probe, "decoder/token_embedding", _same))
    _replace(model, ("output",), _Logits(model.output, probe))
    for path, module in modules:
        name = "/".join(map(str, path))
        if isinstance(module, Sublayer):
            _replace(model, path, _Sublayer(module, probe, path))
        elif isinstance(module, MultiHeadAttention):
            _replace(module, ("to_output",), _HeadOutputs(module, probe, name))
            _replace(module, ("attention",), _Attention(module.attention, probe, name))
        elif isinstance(module, Recurrent):
            _replace(model, path, _Recurrent(module, probe, name))
    if hasattr(model, "encoder_norm"):
        _replace(
            model, ("encoder_norm",), _Output(_norm(model.encoder_norm, probe, "encoder"), probe, "encoder/output")
        )
        _replace(model, ("decoder_norm",), _norm(model.decoder_norm, probe, "decoder"))
    if hasattr(model, "context_to_gates"):
        _insert_into_rnnsearch(model, probe)


def _insert_into_rnnsearch(model: Any, probe: Probe) -> None:
    """Wraps the parts of `models/rnnsearch.py` that are no layers of other models."""
    attention = "decoder/0/cross_attention"
    _replace(model, ("encoder",), _Annotations(model.encoder, probe))
    _replace(model, ("cell",), _Cell(model.cell, probe, "decoder/0"))
    _replace(model, ("to_query",), _SingleHead(model.to_query, probe, f"{attention}/query"))
    _replace(model, ("to_key",), _SingleHead(model.to_key, probe, f"{attention}/key"))
    _replace(model.attention, ("scores",), _Output(model.attention.scores, probe, f"{attention}/scores"))
    _replace(model.attention, ("weights_fn",), _Output(model.attention.weights_fn, probe, f"{attention}/weights"))
    _replace(model, ("context_to_gates",), _Context(model.context_to_gates, probe, f"{attention}/context"))
    for term in ("state", "token", "context"):
        layer = _Output(getattr(model, f"{term}_to_output"), probe, f"decoder/output/from_{term}")
        layer = _Context(layer, probe, f"{attention}/context") if term == "context" else layer
        _replace(model, (f"{term}_to_output",), layer)


def _same(x: Any) -> Any:
    return x


def _norm(norm: Callable[[jax.Array], jax.Array], probe: Probe, name: str) -> Callable[[jax.Array], jax.Array]:
    return _Norm(norm, probe, name) if isinstance(norm, LayerNorm | RMSNorm) else norm


def _replace(module: Any, path: Sequence[Any], new: Any) -> None:
    for part in path[:-1]:
        module = module[part] if isinstance(part, int) else getattr(module, part)
    if isinstance(path[-1], int):
        module[path[-1]] = new
    else:
        delattr(module, path[-1])  # NNX rejects another kind of value in an attribute that exists
        setattr(module, path[-1], new)
