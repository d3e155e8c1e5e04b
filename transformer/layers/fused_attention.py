"""Attention by kernels of accelerators, which write no scores to memory; elsewhere the same as without."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from transformer.layers.attention import Attention, Dot
from transformer.ops import attention_cudnn, attention_splash
from transformer.ops.dropout import Dropout
from transformer.ops.masks import Mask, written_out


class Kernel(NamedTuple):
    """Attention in one program of its own, written for one kind of device; arrays as in `ops.attention`."""

    platform: str  # JAX's name of the devices: "tpu", "cuda"
    allows: Callable[[jax.Array, jax.Array, jax.Array, Mask, bool], bool]  # of query, key, value, mask, causal
    attend: Callable[[jax.Array, jax.Array, jax.Array, Mask, float], jax.Array]  # with scale: context_BTHU
    present: Callable[[], bool]  # whether this process can trace it


SPLASH = Kernel(
    "tpu", attention_splash.allows, attention_splash.splash, lambda: True
)  # a TPU's program can be made without having one
CUDNN = Kernel("cuda", attention_cudnn.allows, attention_cudnn.attention, attention_cudnn.present)


class KernelAttention(Attention):
    """The same by a kernel, where its device runs it and arrays and mask allow; elsewhere, and for weights, as above.

    Args:
      scores: what the kernel computes, too.
      causal: whether a mask of one square for all sentences is `masks.causal`.
      kernel: that of a TPU or a GPU.
    """

    def __init__(self, scores: Dot, causal: bool, kernel: Kernel) -> None:
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
        """Returns context_BTHU, and weights_BHTS, which have no gradient and cost something only if they are used."""
        without = super().__call__
        allowed = self.kernel.allows(query_BTHK, key_BSHK, value_BSHU, mask, self.causal)
        if not allowed or not self.kernel.present():
            return without(query_BTHK, key_BSHK, value_BSHU, mask, dropout)

        def kernel(
            query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask
        ) -> tuple[jax.Array, jax.Array]:
            weights_BHTS = self.weigh(self.scores(query_BTHK, key_BSHK), written_out(mask))
            context_BTHU = self.kernel.attend(query_BTHK, key_BSHK, value_BSHU, mask, self.scale)
            return context_BTHU, jax.lax.stop_gradient(weights_BHTS)

        def reference(
            query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask
        ) -> tuple[jax.Array, jax.Array]:
            context_BTHU, weights_BHTS = without(query_BTHK, key_BSHK, value_BSHU, mask)
            return context_BTHU, jax.lax.stop_gradient(weights_BHTS)

        arrays = (query_BTHK, key_BSHK, value_BSHU, mask)
        return jax.lax.platform_dependent(*arrays, default=reference, **{self.kernel.platform: kernel})
