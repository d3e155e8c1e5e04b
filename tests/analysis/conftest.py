"""Small models of every architecture with drawn parameters."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from transformer.models.build import abstract_model
from transformer.spec import Spec

VOCABULARY = 17
_RECURRENT = {"heads": 1, "d_k": 5, "d_v": None, "d_state": 7, "dropout_attention": 0.0, "dropout_feed_forward": 0.0}
_SETTINGS: dict[str, dict[str, Any]] = {
    "transformer": {"heads": 2, "d_k": 5, "d_v": 3, "encoder_layers": 2, "decoder_layers": 2},
    "rnnsearch": _RECURRENT
    | {"encoder_layers": 1, "decoder_layers": 1, "cross_score": "additive", "cell": "gru", "d_maxout": 6},
    "seq2seq": _RECURRENT | {"encoder_layers": 1, "decoder_layers": 1, "tie_embeddings": False},
}


@pytest.fixture(scope="session")
def make() -> Callable[..., Any]:
    """Makes a model of an architecture, its settings changed."""

    @functools.cache
    def model(architecture: str = "transformer", **changes: Any) -> Any:
        spec = Spec.from_config(base.get_config().to_dict()).model
        settings = {"d_model": 6, "d_ff": 11, "architecture": architecture} | _SETTINGS[architecture] | changes
        spec = dataclasses.replace(spec, **settings)
        shapes = abstract_model(spec, VOCABULARY)
        generator = np.random.default_rng(0)
        return jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), shapes)

    return model
