"""LSTM and GRU layers, and the bidirectional encoder; Sutskever et al. 2014, Bahdanau et al. 2015."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.linear import Initializer, Linear
from transformer.ops import matmul

# Unrolled steps of the loop over time: a step of a small layer takes less time than the overhead of the loop.
UNROLL = 4


class Initializers(NamedTuple):
    """Initializers of a recurrent layer."""

    kernel: Initializer  # weights of the inputs
    recurrent: Initializer  # weights of the hidden state
    bias: Initializer


# Glorot et al. 2010 for inputs; an orthogonal matrix for the hidden state, which keeps its norm (Saxe et al. 2014).
DEFAULT_INITIALIZERS = Initializers(
    nnx.initializers.xavier_uniform(), nnx.initializers.orthogonal(), nnx.initializers.zeros_init()
)


def uniform_initializers(limit: float) -> Initializers:
    """Returns uniform initializers in [-limit, limit]; Section 3.4 of Sutskever et al. 2014 has 0.08."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return Initializers(draw, draw, draw)


class LSTMCarry(NamedTuple):
    """State of an LSTM."""

    hidden: jax.Array  # [..., R], the output
    cell: jax.Array  # float32 [..., R]


class GRUCarry(NamedTuple):
    """State of a GRU."""

    hidden: jax.Array  # [..., R], the output


class LSTMCell(nnx.Module):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate, as in PyTorch's nn.LSTM.

    i, f, g, o = W x + U h; c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g); h' = σ(o) ⊙ tanh(c'). The bias belongs to W, in `Recurrent`.

    Args:
      size: number of hidden units, R.
      initializers: of the recurrent weights.
      dtype: dtype of the matmuls.
      rngs: initial parameters.
    """

    gates = 4

    def __init__(self, size: int, *, initializers: Initializers, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.size = size
        self.dtype = dtype
        self.recurrent_RG = nnx.Param(_square_blocks(initializers.recurrent, rngs, size, self.gates))

    def initial_carry(self, shape: tuple[int, ...]) -> LSTMCarry:
        """Returns the carry before the first step: zeros [*shape, R]."""
        zeros = jnp.zeros((*shape, self.size), jnp.float32)
        return LSTMCarry(zeros.astype(self.dtype), zeros)

    def __call__(self, gates: jax.Array, carry: LSTMCarry) -> LSTMCarry:
        """Computes one step. `gates` [..., G] is the projection of the inputs."""
        total = gates.astype(jnp.float32) + _project(carry.hidden, self.recurrent_RG[...].astype(self.dtype))
        input_gate, forget_gate, candidate, output_gate = jnp.split(total, self.gates, axis=-1)
        cell = jax.nn.sigmoid(forget_gate) * carry.cell + jax.nn.sigmoid(input_gate) * jnp.tanh(candidate)
        return LSTMCarry((jax.nn.sigmoid(output_gate) * jnp.tanh(cell)).astype(self.dtype), cell)


class GRUCell(nnx.Module):
    """Gated recurrent unit (Cho et al. 2014), as in PyTorch's nn.GRU.

    r, z = σ(W x + U h); n = tanh(W_n x + r ⊙ (U_n h + b_n)); h' = (1 - z) ⊙ n + z ⊙ h.

    Departs: the papers have U_n (r ⊙ h), a second matmul that depends on the first, and swap z and 1 - z.

    Args:
      size: number of hidden units, R.
      initializers: of the recurrent weights.
      dtype: dtype of the matmuls.
      rngs: initial parameters.
    """

    gates = 3

    def __init__(self, size: int, *, initializers: Initializers, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.size = size
        self.dtype = dtype
        self.recurrent_RG = nnx.Param(_square_blocks(initializers.recurrent, rngs, size, self.gates))
        self.new_bias_R = nnx.Param(initializers.bias(rngs.params(), (size,), jnp.float32))

    def initial_carry(self, shape: tuple[int, ...]) -> GRUCarry:
        """Returns the carry before the first step: zeros [*shape, R]."""
        return GRUCarry(jnp.zeros((*shape, self.size), self.dtype))

    def __call__(self, gates: jax.Array, carry: GRUCarry) -> GRUCarry:
        """Computes one step. `gates` [..., G] is the projection of the inputs."""
        split = 2 * self.size
        gates = gates.astype(jnp.float32)
        hidden = _project(carry.hidden, self.recurrent_RG[...].astype(self.dtype))
        reset, update = jnp.split(jax.nn.sigmoid(gates[..., :split] + hidden[..., :split]), 2, axis=-1)
        bias = self.new_bias_R.reshape((1,) * (hidden.ndim - 1) + (-1,))
        candidate = jnp.tanh(gates[..., split:] + reset * (hidden[..., split:] + bias))
        return GRUCarry(((1 - update) * candidate + update * carry.hidden.astype(jnp.float32)).astype(self.dtype))


CELLS: dict[str, type[LSTMCell] | type[GRUCell]] = {"lstm": LSTMCell, "gru": GRUCell}


def _project(hidden: jax.Array, kernel_RG: jax.Array) -> jax.Array:
    """Returns U h [..., G] in float32: gates are sums, whose terms would lose digits in a 16-bit dtype."""
    product = matmul.nn(hidden.reshape(-1, hidden.shape[-1]), kernel_RG, jnp.float32)
    return product.reshape(*hidden.shape[:-1], kernel_RG.shape[1])


def _square_blocks(initializer: Initializer, rngs: nnx.Rngs, size: int, count: int) -> jax.Array:
    """Returns [R, count · R]: square blocks, each initialised separately."""
    keys = jax.random.split(rngs.params(), count)
    return jnp.concatenate([initializer(key, (size, size), jnp.float32) for key in keys], axis=1)


class Recurrent(nnx.Module):
    """A recurrent layer in one direction.

    Args:
      in_features: width of inputs.
      cell: the LSTM or GRU cell.
      initializers: of the input projection.
      rngs: initial parameters.
    """

    def __init__(
        self, in_features: int, cell: LSTMCell | GRUCell, *, initializers: Initializers, rngs: nnx.Rngs
    ) -> None:
        self.cell = cell
        self.to_gates = Linear(
            in_features,
            cell.gates * cell.size,
            dtype=cell.dtype,
            rngs=rngs,
            kernel_init=initializers.kernel,
            bias_init=initializers.bias,
        )

    def __call__(
        self, x_BTD: jax.Array, mask_BT: jax.Array, carry: Any, reverse: bool = False
    ) -> tuple[jax.Array, Any]:
        """Reads sequences, backwards if `reverse`; returns hidden_BTR and the carry after the last step.

        Padding does not change the carry.
        """
        order = -1 if reverse else 1
        # Time-major for the loop; all positions are projected in one matmul.
        gates_TBG = self.to_gates(x_BTD.swapaxes(0, 1))[::order]
        mask_TB1 = mask_BT.T[::order, :, None]

        def step(carry: Any, x: Any) -> tuple[Any, jax.Array]:
            gates_BG, mask_B1 = x
            new = self.cell(gates_BG, carry)
            carry = jax.tree.map(lambda new, old: jnp.where(mask_B1, new, old), new, carry)
            return carry, carry.hidden

        carry, hidden_TBR = jax.lax.scan(step, carry, (gates_TBG, mask_TB1), unroll=UNROLL)
        return hidden_TBR[::order].swapaxes(0, 1), carry

    def step(self, x_BND: jax.Array, carry: Any) -> Any:
        """Reads one token of each hypothesis; returns the new carry, whose `hidden` is the output."""
        return self.cell(self.to_gates(x_BND), carry)


class Bidirectional(nnx.Module):
    """A forward and a backward layer; Section 3.2 of Bahdanau et al. 2015.

    Args:
      forward, backward: the layers.
    """

    def __init__(self, forward: Recurrent, backward: Recurrent) -> None:
        self.forward = forward
        self.backward = backward

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array) -> tuple[jax.Array, Any, Any]:
        """Returns the annotations and the final carries of the forward and the backward layer.

        An annotation is the concatenation of both hidden states of a position.
        """
        batch = x_BSD.shape[:1]
        forward_BSR, forward_carry = self.forward(x_BSD, mask_BS, self.forward.cell.initial_carry(batch))
        backward_BSR, backward_carry = self.backward(
            x_BSD, mask_BS, self.backward.cell.initial_carry(batch), reverse=True
        )
        return jnp.concatenate([forward_BSR, backward_BSR], axis=-1), forward_carry, backward_carry
