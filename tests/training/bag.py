"""A minimal bag-of-words model, for tests of the code around a model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from transformer.models.interface import Decoded, Memory
from transformer.ops.dropout import Dropout, drop
from transformer.spec import PAD

HEADS = 3  # copies of the source's mask: an array of another rank for dropout


class Bag(NamedTuple):
    """Predicts a token from the previous one plus the mean of the source; has every kind of dropout."""

    params: dict[str, jax.Array]

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        states_BSD = drop(self.params["table"][source_BS], dropout, "embedding")
        mask_BS = source_BS != PAD
        weights_BS = mask_BS / jnp.maximum(mask_BS.sum(axis=1, keepdims=True), 1)
        weights_BHS = jnp.broadcast_to(weights_BS[:, None], (len(mask_BS), HEADS, mask_BS.shape[1]))
        weights_BHS = drop(weights_BHS.astype(jnp.float32), dropout, "attention")
        return Memory(jnp.einsum("bhs,bsd->bhd", weights_BHS, states_BSD), mask_BS, {})

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        source_BD = drop(memory.states_BSD.mean(axis=1), dropout, "feed_forward")
        words_BTD = drop(self.params["table"][target_BT], dropout, "word")
        return Decoded(drop(source_BD[:, None] + words_BTD, dropout, "sublayer"), {})

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        return hidden_D @ self.params["kernel"]


def bag_params(vocabulary: int, width: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = {"table": (vocabulary, width), "kernel": (width, vocabulary)}
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
