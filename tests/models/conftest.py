"""Small models with random parameters, split into structure and parameters as in training."""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util

from configs import base
from transformer.models.build import abstract_model
from transformer.models.interface import Decoded, Memory
from transformer.ops.dropout import Dropout
from transformer.spec import PAD, ModelSpec, Spec

VOCABULARY = 23

# Half the time to compile, and a slower program: these models are small.
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


Params = dict[str, Any]  # by path, such as "encoder/0/self_attention/to_query/kernel"


class Forward(NamedTuple):
    """Outputs of a teacher-forced pass."""

    memory: Memory
    decoded: Decoded
    logits_BTV: jax.Array


class Net(NamedTuple):
    """A model's structure and its parameters by path."""

    graph: Any
    params: Params

    @classmethod
    def split(cls, model: Any) -> "Net":
        graph, state = nnx.split(model, graph=True)
        flat = traverse_util.flatten_dict(nnx.to_pure_dict(state))
        return cls(graph, {"/".join(map(str, path)): leaf for path, leaf in flat.items()})

    def model(self, params: Params | None = None) -> Any:
        """Returns the model, optionally with other parameters."""
        params = self.params if params is None else params
        keys = ([int(key) if key.isdigit() else key for key in path.split("/")] for path in params)
        nested = traverse_util.unflatten_dict(dict(zip(map(tuple, keys), params.values(), strict=True)))
        return nnx.merge(self.graph, nnx.State(nested))

    def __call__(self, source_BS: Any, target_BT: Any, dropout: Dropout | None = None) -> Forward:
        """Encodes, decodes and computes logits; compiled once per structure and shape."""
        return _forward(self.graph, self.params, source_BS, target_BT, dropout)


@functools.partial(compiled, static_argnums=0)
def _forward(graph: Any, params: Params, source_BS: Any, target_BT: Any, dropout: Dropout | None) -> Forward:
    model = Net(graph, params).model()
    memory = model.encode(source_BS, dropout)
    decoded = model.decode(memory, target_BT, dropout)
    return Forward(memory, decoded, model.logits(decoded.hidden_BTD))


def _draw(path: str, shape: Any) -> jax.Array:
    """Draws parameters that depend only on path and shape."""
    generator = np.random.default_rng([zlib.crc32(path.encode()), *shape.shape])
    name = path.rsplit("/", 1)[-1]
    mean, deviation = {
        "scale_D": (1.0, 0.3),
        "kernel": (0.0, shape.shape[0] ** -0.5),
        "recurrent_RG": (0.0, shape.shape[0] ** -0.5),
        "table_VD": (0.0, shape.shape[-1] ** -0.5),
    }.get(name, (0.0, 0.3))
    return jnp.asarray(generator.normal(mean, deviation, shape.shape), shape.dtype)


@pytest.fixture(scope="session", name="compiled")
def _compiled() -> Callable[..., Any]:
    """`jax.jit` for small models."""
    return compiled


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., ModelSpec]:
    """Makes a spec whose sizes all differ; none is a multiple of another."""
    spec = dataclasses.replace(
        Spec.from_config(base.get_config().to_dict()).model,
        d_model=13,
        d_ff=19,
        heads=3,
        d_k=5,
        d_v=7,
        encoder_layers=1,
        decoder_layers=1,
        tie_embeddings=False,
        dropout_attention=0.1,
        dropout_feed_forward=0.1,
    )
    return functools.partial(dataclasses.replace, spec)


@pytest.fixture(scope="session")
def make(make_spec: Callable[..., ModelSpec]) -> Callable[..., Net]:
    """Makes a model with changed settings and random parameters: zeros and ones would hide errors."""

    @functools.cache
    def net(**changes: Any) -> Net:
        shapes = abstract_model(make_spec(**changes), VOCABULARY)
        graph, params = Net.split(shapes)
        return Net(graph, {path: _draw(path, shape) for path, shape in params.items()})

    return net


# Differences from the base spec; two layers, so that each layer has a neighbour of its kind.
_RECURRENT = {"d_state": 11, "dropout_attention": 0.0, "dropout_feed_forward": 0.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "transformer": {"encoder_layers": 2, "decoder_layers": 2, "norm": "pre"},
    "rnnsearch": _RECURRENT
    | {"encoder_layers": 1, "decoder_layers": 1, "heads": 1, "cross_score": "additive", "cell": "gru", "d_maxout": 17},
    "seq2seq": _RECURRENT | {"encoder_layers": 2, "decoder_layers": 2, "reverse_source": True},
}


@pytest.fixture(scope="session")
def architecture_spec(make_spec) -> Callable[..., ModelSpec]:
    """Makes the spec of an architecture with changed settings."""
    return lambda name, **changes: make_spec(architecture=name, **SETTINGS[name] | changes)


@pytest.fixture(scope="session")
def make_architecture(make) -> Callable[..., Net]:
    """Makes a model of an architecture with changed settings."""
    return lambda name, **changes: make(architecture=name, **SETTINGS[name] | changes)


@pytest.fixture(scope="session")
def net(make) -> Net:
    """Two layers per stack, so that each layer has a neighbour of its kind; pre-norm also has norms after stacks."""
    return make(encoder_layers=2, decoder_layers=2, norm="pre")


@pytest.fixture(scope="session")
def batch() -> tuple[np.ndarray, np.ndarray]:
    """source_BS of 7, 4, 1 and 5 tokens and target_BT of 5; no token occurs twice in a sentence."""
    generator = np.random.default_rng(0)
    source_BS, target_BT = (
        np.array([generator.permutation(np.arange(1, VOCABULARY))[:length] for _ in range(4)], np.int32)
        for length in (7, 5)
    )
    return np.where(np.arange(7) < np.array([[7], [4], [1], [5]]), source_BS, PAD), target_BT
