"""Models work in Flax's tree mode, its announced default, where a module may not occur twice, as tied embeddings do."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import dataclasses
import flax
import jax
import jax.numpy as jnp
from configs import base
from transformer.decoding.search import search
from transformer.models.build import abstract_model, build
from transformer.spec import Spec
from transformer.training import state as states

assert not flax.config.nnx_graph_mode
spec = Spec.from_config(base.get_config().to_dict())
sizes = {"d_model": 8, "d_ff": 6, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
model = dataclasses.replace(spec.model, **sizes)
assert model.tie_embeddings
structure, params = states.split(build(model, 11, jax.random.key(0)))
_, shapes = states.split(abstract_model(model, 11))
assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
source_BS = jnp.array([[4, 5, 2]])

@jax.jit
def loss(params):
    model = structure(params)
    return model.logits(model.decode(model.encode(source_BS), source_BS).hidden_BTD).std()

assert all(bool(jnp.any(leaf != 0)) for leaf in [jax.grad(loss)(params)["embed_source"]["table_VD"]])
decode = dataclasses.replace(spec.decode, beam_size=2, max_extra_length=2)
print(jax.jit(lambda params: search(structure(params), source_BS, decode))(params).tokens_BNT.shape)
"""


@pytest.mark.slow
def test_tied_embeddings_train_and_decode_in_tree_mode() -> None:
    environment = os.environ | {"NNX_GRAPH_MODE": "false", "JAX_PLATFORMS": "cpu"}
    process = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("(1, 2, ")
