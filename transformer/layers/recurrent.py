"""LSTM and GRU layers, and the bidirectional encoder; Sutskever et al. 2014, Bahdanau et al. 2015."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.linear import Initializer, Linear
from transformer.ops import recurrence

Product = Callable[[jax.Array], jax.Array]  # a hidden state [..., R], times the recurrent weights: [..., G]

# Steps of the loop over time that are compiled as one: a step of a small layer is shorter than the loop's own work.
UNROLL = 4


class Initial(NamedTuple):
    """How parameters begin."""

    kernel: Initializer  # what multiplies inputs
    recurrent: Initializer  # what multiplies the hidden state
    bias: Initializer


# Glorot et al. 2010 for inputs, and for the hidden state a rotation, which neither grows nor fades (Saxe et al. 2014).
USUAL = Initial(nnx.initializers.xavier_uniform(), nnx.initializers.orthogonal(), nnx.initializers.zeros_init())


def uniform(limit: float) -> Initial:
    """Everything from [-limit, limit]; Section 3.4 of Sutskever et al. 2014 has 0.08."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return Initial(draw, draw, draw)


class LSTMCarry(NamedTuple):
    """What an LSTM remembers."""

    hidden: jax.Array  # [..., R], its output
    memory: jax.Array  # float32 [..., R]


class GRUCarry(NamedTuple):
    """What a GRU remembers."""

    hidden: jax.Array  # [..., R], its output


class LSTMCell(nnx.Module):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate, as in PyTorch's nn.LSTM.

    i, f, g, o = W x + U h; c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g); h' = σ(o) ⊙ tanh(c'). The bias stands with W.

    Args:
      size: R.
      initial: how parameters begin.
      dtype: of the matrix products.
      rngs: initial parameters.
    """

    gates = 4

    def __init__(self, size: int, *, initial: Initial, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.size = size
        self.dtype = dtype
        self.recurrent_RG = nnx.Param(_square_parts(initial.recurrent, rngs, size, self.gates))

    def start(self, shape: tuple[int, ...]) -> LSTMCarry:
        """The carry before the first step: zeros [*shape, R]."""
        zeros = jnp.zeros((*shape, self.size), jnp.float32)
        return LSTMCarry(zeros.astype(self.dtype), zeros)

    def __call__(self, gates: jax.Array, product: Product, carry: LSTMCarry) -> LSTMCarry:
        """One step: `gates` [..., G] are what the inputs make of them."""
        total = (gates + product(carry.hidden)).astype(jnp.float32)
        enter, keep, new, leave = jnp.split(total, self.gates, axis=-1)
        memory = jax.nn.sigmoid(keep) * carry.memory + jax.nn.sigmoid(enter) * jnp.tanh(new)
        return LSTMCarry((jax.nn.sigmoid(leave) * jnp.tanh(memory)).astype(self.dtype), memory)


class GRUCell(nnx.Module):
    """Gated recurrent unit (Cho et al. 2014), as in PyTorch's nn.GRU.

    r, z = σ(W x + U h); n = tanh(W_n x + r ⊙ (U_n h + b_n)); h' = (1 - z) ⊙ n + z ⊙ h.

    Departs: the papers have U_n (r ⊙ h), a second product that waits for the first; and they swap z and 1 - z.

    Args:
      size: R.
      initial: how parameters begin.
      dtype: of the matrix products.
      rngs: initial parameters.
    """

    gates = 3

    def __init__(self, size: int, *, initial: Initial, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.size = size
        self.dtype = dtype
        self.recurrent_RG = nnx.Param(_square_parts(initial.recurrent, rngs, size, self.gates))
        self.new_bias_R = nnx.Param(initial.bias(rngs.params(), (size,), jnp.float32))

    def start(self, shape: tuple[int, ...]) -> GRUCarry:
        """The carry before the first step: zeros [*shape, R]."""
        return GRUCarry(jnp.zeros((*shape, self.size), self.dtype))

    def __call__(self, gates: jax.Array, product: Product, carry: GRUCarry) -> GRUCarry:
        """One step: `gates` [..., G] are what the inputs make of them."""
        split = 2 * self.size
        gates, hidden = gates.astype(jnp.float32), product(carry.hidden).astype(jnp.float32)
        reset, update = jnp.split(jax.nn.sigmoid(gates[..., :split] + hidden[..., :split]), 2, axis=-1)
        bias = self.new_bias_R.reshape((1,) * (hidden.ndim - 1) + (-1,))
        new = jnp.tanh(gates[..., split:] + reset * (hidden[..., split:] + bias))
        return GRUCarry(((1 - update) * new + update * carry.hidden.astype(jnp.float32)).astype(self.dtype))


CELLS: dict[str, type[LSTMCell] | type[GRUCell]] = {"lstm": LSTMCell, "gru": GRUCell}


def _square_parts(initializer: Initializer, rngs: nnx.Rngs, size: int, parts: int) -> jax.Array:
    """[R, parts · R], each part begun by itself."""
    keys = jax.random.split(rngs.params(), parts)
    return jnp.concatenate([initializer(key, (size, size), jnp.float32) for key in keys], axis=1)


class Recurrent(nnx.Module):
    """One layer in one direction.

    Args:
      inputs: width of what comes in.
      cell: its arithmetic.
      initial: how the input projection begins.
      rngs: initial parameters.
    """

    def __init__(self, inputs: int, cell: LSTMCell | GRUCell, *, initial: Initial, rngs: nnx.Rngs) -> None:
        self.cell = cell
        self.to_gates = Linear(
            inputs,
            cell.gates * cell.size,
            dtype=cell.dtype,
            rngs=rngs,
            kernel_init=initial.kernel,
            bias_init=initial.bias,
        )

    def __call__(
        self, x_BTD: jax.Array, mask_BT: jax.Array, carry: Any, reverse: bool = False
    ) -> tuple[jax.Array, Any]:
        """Reads sequences, from their ends if `reverse`; returns hidden_BTR and the carry after the last step.

        A padded position leaves the carry as it is, so that what surrounds a sentence does not change it.
        """
        order = -1 if reverse else 1
        # Time first, as the loop wants it; the whole sequence is projected at once.
        gates_TBG = self.to_gates(x_BTD.swapaxes(0, 1))[::order]
        mask_TB1 = mask_BT.T[::order, :, None]

        def step(product: recurrence.Product, carry: Any, x: Any) -> tuple[Any, jax.Array]:
            gates_BG, mask_B1 = x
            new = self.cell(gates_BG, lambda hidden: product("recurrent", hidden), carry)
            carry = jax.tree.map(lambda new, old: jnp.where(mask_B1, new, old), new, carry)
            return carry, carry.hidden

        carry, hidden_TBR = recurrence.scan(
            step, {"recurrent": self._kernel()}, carry, (gates_TBG, mask_TB1), unroll=UNROLL
        )
        return hidden_TBR[::order].swapaxes(0, 1), carry

    def step(self, x_BND: jax.Array, carry: Any) -> Any:
        """One token for each hypothesis: the carry after it, whose `hidden` is the output."""
        return self.cell(self.to_gates(x_BND), lambda hidden: hidden @ self._kernel(), carry)

    def _kernel(self) -> jax.Array:
        return self.cell.recurrent_RG[...].astype(self.cell.dtype)


class Bidirectional(nnx.Module):
    """Two layers that read a sentence from its two ends; Section 3.2 of Bahdanau et al. 2015.

    Args:
      forward, backward: the layers.
    """

    def __init__(self, forward: Recurrent, backward: Recurrent) -> None:
        self.forward = forward
        self.backward = backward

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array) -> tuple[jax.Array, Any, Any]:
        """Returns the annotations, both hidden states of each position side by side, and the two last carries.

        The forward one has read the whole sentence from its beginning, the backward one from its end.
        """
        rows = x_BSD.shape[:1]
        ahead_BSR, last = self.forward(x_BSD, mask_BS, self.forward.cell.start(rows))
        back_BSR, first = self.backward(x_BSD, mask_BS, self.backward.cell.start(rows), reverse=True)
        return jnp.concatenate([ahead_BSR, back_BSR], axis=-1), last, first
