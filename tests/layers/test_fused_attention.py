"""A program for a GPU has the kernel, one for a CPU the reference.

No GPU is needed: a program for one can be written down, if not run, on any machine. Splash for a TPU, likewise:
tests/launch/test_plan.py.
"""

import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.layers.attention import Dot
from transformer.layers.fused_attention import CUDNN, KernelAttention
from transformer.ops import attention_cudnn, masks
from transformer.ops.attention import attend, dot_scores

SCALE = 0.3
PADDING = masks.padding(jnp.arange(11)[None] < jnp.array([[7], [11]]))


def arrays(target: int, source: int) -> list[jax.Array]:
    """Queries, keys, values, and what a context is compared by, bfloat16; two sentences, three heads of eight."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = ((2, length, 3, 8) for length in (target, source, source, target))
    return [jax.random.normal(key, size, jnp.bfloat16) for key, size in zip(keys, sizes, strict=True)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes JAX write programs for a GPU that is not there: what it asks the GPU's library is answered here."""
    from jax._src.cudnn import fused_attention_stablehlo as inner

    monkeypatch.setattr(inner, "check_cudnn_version", lambda: 91_100)
    monkeypatch.setattr(inner, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(attention_cudnn, "present", lambda: True)
    yield
    jax.clear_caches()  # of programs that were traced for a GPU


@pytest.mark.parametrize(
    ("target", "source", "mask", "kind"),
    [(5, 11, PADDING, "PADDING"), (7, 7, masks.causal(7), "CAUSAL")],
    ids=["padding", "causal"],
)
@pytest.mark.usefixtures("gpu")
def test_a_gpu_gets_the_kernel_forwards_and_backwards(target: int, source: int, mask: jax.Array, kind: str) -> None:
    query, key, value, along = arrays(target, source)
    attention = KernelAttention(Dot(SCALE), True, CUDNN._replace(present=lambda: True))

    def loss(*given: jax.Array) -> jax.Array:
        context_BTHU, _ = attention(given[0], given[1], given[2], mask)
        return jnp.sum((along * context_BTHU).astype(jnp.float32))

    traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(query, key, value)
    for_gpu, for_cpu = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cuda", "cpu"))
    assert len(re.findall(r"__cudnn\$fmhaSoftmax\b", for_gpu)) == 1
    assert len(re.findall(r"__cudnn\$fmhaSoftmaxBackward\b", for_gpu)) == 1
    assert set(re.findall(r"mask_type[^A-Z]+([A-Z_]+)", for_gpu)) == {kind}
    assert not re.search("exponential", for_gpu)  # no softmax beside it
    assert "cudnn" not in for_cpu
    assert re.search("exponential", for_cpu)


@pytest.mark.parametrize(
    ("target", "source", "mask"), [(5, 11, PADDING), (7, 7, masks.causal(7))], ids=["padding", "causal"]
)
@pytest.mark.usefixtures("gpu")
def test_several_models_that_are_trained_together_get_it_too(target: int, source: int, mask: jax.Array) -> None:
    attention = KernelAttention(Dot(SCALE), True, CUDNN._replace(present=lambda: True))

    def loss(query: jax.Array, key: jax.Array, value: jax.Array, along: jax.Array, mask: jax.Array) -> jax.Array:
        return jnp.sum((along * attention(query, key, value, mask)[0]).astype(jnp.float32))

    members = [jnp.stack([each, each]) for each in (*arrays(target, source), mask)]
    traced = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2)))).trace(*members)
    for_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert len(re.findall(r"__cudnn\$fmhaSoftmaxBackward\b", for_gpu)) == 1


def test_where_there_is_no_gpu_the_reference_answers() -> None:
    """This holds on a machine with a GPU, too: kernel and reference agree."""
    query, key, value, _ = arrays(5, 11)
    found, weights = KernelAttention(Dot(SCALE), True, CUDNN)(query, key, value, PADDING)
    expected = attend(dot_scores(query, key, SCALE), value, PADDING)
    np.testing.assert_allclose(found.astype(float), expected[0].astype(float), atol=2e-2)
    np.testing.assert_allclose(weights, expected[1], atol=1e-6)
