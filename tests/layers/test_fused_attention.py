"""Programs for a GPU contain the fused kernel, programs for a CPU the XLA implementation.

Any machine can lower a program for a GPU. tests/launch/test_plan.py does the same for splash on a TPU.
"""

import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.layers.fused_attention import CUDNN, FusedAttention
from transformer.layers.scores import DotScore
from transformer.ops import attention_cudnn, masks
from transformer.ops.attention import attend, dot_scores

SCALE = 0.3
PADDING = masks.padding(jnp.asarray(np.arange(11) < [[7], [11]]))


def arrays(target: int, source: int) -> list[jax.Array]:
    """Queries, keys, values and cotangents of the context, bfloat16; two sentences, three heads of width eight."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = ((2, length, 3, 8) for length in (target, source, source, target))
    return [jax.random.normal(key, size, jnp.bfloat16) for key, size in zip(keys, sizes, strict=True)]


@pytest.fixture(scope="module")
def clean() -> Iterator[None]:
    """Drops programs traced for a GPU; once, because later tests compile everything again."""
    yield
    jax.clear_caches()


@pytest.fixture
def gpu(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets JAX lower programs for a GPU without a GPU by replacing its checks of the cuDNN library."""
    from jax._src.cudnn import fused_attention_stablehlo as inner

    monkeypatch.setattr(inner, "check_cudnn_version", lambda: 91_100)
    monkeypatch.setattr(inner, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(attention_cudnn, "is_available", lambda: True)


@pytest.mark.parametrize(
    ("target", "source", "mask", "kind"),
    [(5, 11, PADDING, "PADDING"), (7, 7, masks.causal(7), "CAUSAL")],
    ids=["padding", "causal"],
)
@pytest.mark.usefixtures("gpu")
def test_gpu_programs_have_the_kernel_in_both_passes(target: int, source: int, mask: jax.Array, kind: str) -> None:
    query, key, value, cotangent = arrays(target, source)
    attention = FusedAttention(DotScore(SCALE), True, CUDNN._replace(available=lambda: True))

    def loss(*arrays: jax.Array) -> jax.Array:
        context_BTHU, _ = attention(arrays[0], arrays[1], arrays[2], mask)
        return jnp.sum((cotangent * context_BTHU).astype(jnp.float32))

    traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(query, key, value)
    for_gpu, for_cpu = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cuda", "cpu"))
    assert len(re.findall(r"__cudnn\$fmhaSoftmax\b", for_gpu)) == 1
    assert len(re.findall(r"__cudnn\$fmhaSoftmaxBackward\b", for_gpu)) == 1
    assert set(re.findall(r"mask_type[^A-Z]+([A-Z_]+)", for_gpu)) == {kind}
    assert not re.search("exponential", for_gpu)  # no additional softmax
    assert "cudnn" not in for_cpu
    assert re.search("exponential", for_cpu)


@pytest.mark.parametrize(
    ("target", "source", "mask"), [(5, 11, PADDING), (7, 7, masks.causal(7))], ids=["padding", "causal"]
)
@pytest.mark.usefixtures("gpu")
def test_vmapped_models_have_the_kernel(target: int, source: int, mask: jax.Array) -> None:
    attention = FusedAttention(DotScore(SCALE), True, CUDNN._replace(available=lambda: True))

    def loss(query: jax.Array, key: jax.Array, value: jax.Array, cotangent: jax.Array, mask: jax.Array) -> jax.Array:
        return jnp.sum((cotangent * attention(query, key, value, mask)[0]).astype(jnp.float32))

    members = [jnp.stack([array, array]) for array in (*arrays(target, source), mask)]
    traced = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2)))).trace(*members)
    for_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert len(re.findall(r"__cudnn\$fmhaSoftmaxBackward\b", for_gpu)) == 1


@pytest.mark.parametrize("vmapped", [False, True])
def test_gpu_programs_have_the_kernel_for_packed_rows(vmapped: bool) -> None:
    attention = FusedAttention(DotScore(SCALE), True, CUDNN._replace(available=lambda: True))
    shapes = [jax.ShapeDtypeStruct((2, 70, 3, 16), jnp.bfloat16)] * 3 + [jax.ShapeDtypeStruct((2, 70), jnp.int32)]

    def loss(query: jax.Array, key: jax.Array, value: jax.Array, segment_BT: jax.Array) -> jax.Array:
        mask = masks.with_segments(masks.causal(70), segment_BT, segment_BT)
        return jnp.sum(attention(query, key, value, mask)[0].astype(jnp.float32))

    gradient = jax.grad(loss, argnums=(0, 1, 2))
    if vmapped:
        shapes = [jax.ShapeDtypeStruct((2, *shape.shape), shape.dtype) for shape in shapes]
    traced = jax.jit(jax.vmap(gradient) if vmapped else gradient).trace(*shapes)
    for_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert len(re.findall(r"custom_call @\S*triton", for_gpu)) == 3  # context, gradient of queries, of keys and values
    assert not re.search(r"stablehlo\.exponential", for_gpu)  # no additional softmax


def test_without_a_gpu_xla_computes_attention() -> None:
    """The tolerance also holds on a machine with a GPU."""
    query, key, value, _ = arrays(5, 11)
    context, weights = FusedAttention(DotScore(SCALE), True, CUDNN)(query, key, value, PADDING)
    expected = attend(dot_scores(query, key, SCALE), value, PADDING)
    np.testing.assert_allclose(context.astype(float), expected[0].astype(float), atol=2e-2)
    np.testing.assert_allclose(weights, expected[1], atol=1e-6)
