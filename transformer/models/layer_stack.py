"""Stacks of equal layers: each with its own program, or one loop over stacked parameters that is compiled once."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops.dropout import Dropout, fold_in

# (layer, x_BTD, input of this layer, dropout) → (new x_BTD, anything else)
Call = Callable[[Any, jax.Array, Any, Dropout | None], tuple[jax.Array, Any]]
Remat = Callable[[Callable[..., Any]], Callable[..., Any]]  # `jax.checkpoint` with a policy, or the identity
OnParams = Callable[[Any], Any]  # tree of the parameters of one layer → the same, as the layer uses them


class LayerList(nnx.List):
    """Layers that run one after the other.

    Args:
      layers: the layers.
      remat: wraps each call: decides which of its values the gradient recomputes.
    """

    def __init__(self, layers: Sequence[nnx.Module], remat: Remat) -> None:
        super().__init__(layers)
        self.remat = remat

    def run(
        self, call: Call, x_BTD: jax.Array, inputs: Sequence[Any], dropout: Dropout | None
    ) -> tuple[list[jax.Array], list[Any]]:
        """Runs all layers.

        Args:
          call: runs a layer.
          x_BTD: input of the first layer.
          inputs: another input of each layer, or one for all.
          dropout: layer n has site n + 1.

        Returns:
          The outputs of all layers, and what else they return.
        """
        outputs, others = [], []
        for number, (layer, own) in enumerate(zip(self, itertools.cycle(inputs), strict=False)):
            x_BTD, other = self.remat(functools.partial(call, layer))(x_BTD, own, fold_in(dropout, 1 + number))
            outputs.append(x_BTD)
            others.append(other)
        return outputs, others


class LayerScan(nnx.Module):
    """Layers as one, `stacked`, whose parameters have a leading axis of layers: a loop runs them.

    It computes what `LayerList` does. The program is as long as that of one layer. What layers return beside their
    output is dropped: a loop would store it for all layers.

    Args:
      layers: equal layers.
      remat: as for `LayerList`; also decides what the loop stores for the gradient.
      on_params: applied to the parameters of each layer within the loop.
    """

    def __init__(self, layers: Sequence[nnx.Module], remat: Remat, on_params: OnParams) -> None:
        graph, _ = nnx.split(layers[0])
        self.stacked = nnx.merge(graph, jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(nnx.state, layers)))
        self.count = len(layers)
        self.remat = remat
        self.on_params = on_params

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        """Yields the single layers, for a search, whose steps do not use the loop."""
        graph, state = nnx.split(self.stacked)
        for number in range(self.count):
            yield nnx.merge(graph, jax.tree.map(lambda leaf, number=number: leaf[number], state))

    def run(
        self, call: Call, x_BTD: jax.Array, inputs: Sequence[Any], dropout: Dropout | None
    ) -> tuple[list[jax.Array], list[Any]]:
        """Runs all layers; see `LayerList.run`."""
        graph, state = nnx.split(self.stacked)
        own = jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs) if len(inputs) > 1 else None

        def body(x_BTD: jax.Array, layer: Any) -> tuple[jax.Array, jax.Array]:
            params, own, number = layer
            site = dropout and dropout.fold_in_layer(range(1, 1 + self.count), number)
            module = nnx.merge(graph, nnx.State(self.on_params(nnx.to_pure_dict(params))))
            x_BTD, _ = call(module, x_BTD, inputs[0] if own is None else own, site)
            return x_BTD, x_BTD

        x_BTD, outputs = jax.lax.scan(self.remat(body), x_BTD, (state, own, jnp.arange(self.count)))
        return [*(outputs[number] for number in range(self.count - 1)), x_BTD], []
