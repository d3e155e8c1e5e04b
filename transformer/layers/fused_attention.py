"""Attention by fused kernels of accelerators, which write no scores to memory; XLA on other devices."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from transformer.layers.attention import Attention
from transformer.layers.scores import DotScore
from transformer.ops import attention_cudnn, attention_splash, attention_triton
from transformer.ops.dropout import Dropout
from transformer.ops.masks import Mask, SegmentMask, materialise


class FusedKernel(NamedTuple):
    """A fused attention kernel for one kind of device; arrays as in `ops.attention`."""

    platform: str  # name of the devices in JAX: "tpu", "cuda"
    supports: Callable[[jax.Array, jax.Array, jax.Array, Mask, bool], bool]  # (query, key, value, mask, causal)
    attend: Callable[
        [jax.Array, jax.Array, jax.Array, Mask, float], jax.Array
    ]  # (query, key, value, mask, scale) to context_BTHU
    available: Callable[[], bool]  # whether this process can trace the kernel


SPLASH = FusedKernel(
    "tpu", attention_splash.supports, attention_splash.attention, lambda: True
)  # a program for a TPU compiles without a TPU


def _gpu_supports(query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, causal: bool) -> bool:
    kernels = (attention_cudnn, attention_triton)
    return any(kernel.supports(query_BTHK, key_BSHK, value_BSHU, mask, causal) for kernel in kernels)


def _gpu_attention(
    query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, scale: float
) -> jax.Array:
    kernel = attention_triton if isinstance(mask, SegmentMask) else attention_cudnn
    return kernel.attention(query_BTHK, key_BSHK, value_BSHU, mask, scale)


# cuDNN's kernel, and for packed rows one in Triton; both need the same GPUs.
CUDNN = FusedKernel("cuda", _gpu_supports, _gpu_attention, attention_cudnn.is_available)


class FusedAttention(Attention):
    """`Attention` by a kernel if the device runs it and the kernel supports the arrays and the mask; else by XLA.

    Weights are always computed by XLA.

    Args:
      scores: the score function of the kernel: a dot product with a fixed scale.
      causal: whether a square mask for all sentences, [1, 1, T, T], is `masks.causal`.
      kernel: kernel of a TPU or a GPU.
    """

    def __init__(self, scores: DotScore, causal: bool, kernel: FusedKernel) -> None:
        super().__init__(scores)
        self.scale = scores.scale
        self.causal = causal
        self.kernel = kernel

    def __call__(
        self,
        query_BTHK: jax.Array,
        key_BSHK: jax.Array,
        value_BSHU: jax.Array,
        mask: Mask,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Returns context_BTHU and weights_BHTS, which have no gradient and cost time only if they are used."""
        by_xla = super().__call__
        supported = self.kernel.supports(query_BTHK, key_BSHK, value_BSHU, mask, self.causal)
        if not supported or not self.kernel.available():
            return by_xla(query_BTHK, key_BSHK, value_BSHU, mask, dropout)

        def kernel(
            query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask
        ) -> tuple[jax.Array, jax.Array]:
            weights_BHTS = self.weights_fn(self.scores(query_BTHK, key_BSHK), materialise(mask))
            context_BTHU = self.kernel.attend(query_BTHK, key_BSHK, value_BSHU, mask, self.scale)
            return context_BTHU, jax.lax.stop_gradient(weights_BHTS)

        def reference(
            query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask
        ) -> tuple[jax.Array, jax.Array]:
            context_BTHU, weights_BHTS = by_xla(query_BTHK, key_BSHK, value_BSHU, mask)
            return context_BTHU, jax.lax.stop_gradient(weights_BHTS)

        arrays = (query_BTHK, key_BSHK, value_BSHU, mask)
        return jax.lax.platform_dependent(*arrays, default=reference, **{self.kernel.platform: kernel})
