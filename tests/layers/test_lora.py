"""LoRA layers add x A B, start as the plain model, and merge into it."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util

from tests.training.eight import VOCABULARY, batch, spec_of
from transformer.layers import lora
from transformer.models.build import abstract_model, build
from transformer.spec import Spec
from transformer.training import state as states

TARGETS = {
    "transformer": "*to_query,decoder.*.to_value,encoder.0.feed_forward.outer",
    "rnnsearch": "to_key,token_to_output,*to_gates",
    "seq2seq": "encoder.0.to_gates",
}


def adapted(architecture: str, targets: str, rank: int | None = 3, dtype: str = "float32") -> Spec:
    spec = spec_of(f"{architecture}:{dtype}")
    return dataclasses.replace(spec, model=dataclasses.replace(spec.model, lora_rank=rank, lora_targets=targets))


def random_model(spec: Spec) -> tuple[states.ModelDef, Any]:
    model, shapes = states.split(abstract_model(spec.model, VOCABULARY))
    generator = np.random.default_rng(0)
    return model, jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32) / 2, shapes)


def logits(model: states.ModelDef, params: Any) -> np.ndarray:
    source_BS, target_BT = map(jax.numpy.asarray, batch(0))

    def compute(params: Any) -> jax.Array:
        network = model(params)
        return network.logits(network.decode(network.encode(source_BS), target_BT).hidden_BTD)

    return np.asarray(jax.jit(compute, compiler_options={"xla_backend_optimization_level": 0})(params))


@pytest.mark.parametrize("architecture", TARGETS)
def test_the_merged_model_computes_the_same(architecture: str) -> None:
    model, params = random_model(adapted(architecture, TARGETS[architecture]))
    plain, plain_shapes = random_model(adapted(architecture, "", None))
    merged = lora.merge(params)
    assert jax.tree.map(np.shape, merged) == jax.tree.map(np.shape, plain_shapes)
    before = logits(plain, lora.merge(jax.tree.map_with_path(without_factors, params)))
    after = logits(plain, merged)
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(logits(model, params), after, rtol=1e-4, atol=1e-4)


def without_factors(path: Any, leaf: np.ndarray) -> np.ndarray:
    return leaf * (not path[-1].key.startswith("lora"))


@pytest.mark.slow
def test_the_initial_model_is_the_plain_one() -> None:
    """Bit for bit, also in bfloat16, and A and B have the sizes of their layer."""
    specs = [adapted("transformer", TARGETS["transformer"], rank, "bfloat16").model for rank in (3, None)]
    model, plain = (states.split(build(spec, VOCABULARY, jax.random.key(5))) for spec in specs)
    flat: Any = traverse_util.flatten_dict(model[1], sep=".")
    factors = {name: array for name, array in flat.items() if lora.is_factor(name)}
    layers = {name.rpartition(".")[0] for name in factors}
    assert layers == {
        "encoder.0.self_attention.to_query",
        "encoder.0.feed_forward.outer",
        *(f"decoder.0.{kind}_attention.{layer}" for kind in ("self", "cross") for layer in ("to_query", "to_value")),
    }
    assert factors["encoder.0.feed_forward.outer.lora_a"].shape == (12, 3)
    assert factors["encoder.0.feed_forward.outer.lora_b"].shape == (3, 8)
    assert all(np.any(array) == name.endswith("a") for name, array in factors.items())
    np.testing.assert_array_equal(logits(*model), logits(*plain))
    jax.tree.map(np.testing.assert_array_equal, lora.merge(model[1]), plain[1])
    jax.tree.map(np.testing.assert_array_equal, lora.expand(plain[1], model[1]), model[1])


@pytest.mark.parametrize(
    ("architecture", "targets", "named"),
    [
        ("transformer", "*to_query, *to_quary", r"'\*to_quary' matches none .*self_attention\.to_query"),
        ("transformer", "encoder.0.self_attention.to_query.kernel", r"such as encoder\.\*\.self_attention\.to_query"),
        ("transformer", "embed_source", "'embed_source' matches none"),
        ("rnnsearch", "*to_value", r"such as .*to_"),
    ],
)
def test_a_pattern_without_a_layer_is_an_error(architecture: str, targets: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"^model.lora_targets: .*{named}"):
        random_model(adapted(architecture, targets))
