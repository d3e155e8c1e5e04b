"""The compiled functions of a model outside of training: initialisation, validation loss and search."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from transformer.analysis import attention_entropy
from transformer.analysis.forced_decoding import target_log_probabilities
from transformer.decoding.search import SearchResult, search
from transformer.models.build import build
from transformer.spec import PAD, DecodeSpec, Spec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import MeshPartitioner
from transformer.training.state import ModelDef, Params

# A program of a short search gets up to this many batches as one queue: at its end, nothing fills the rows that become
# free, and the devices of a CPU wait for each other.
_BATCHES_PER_PROGRAM = 16


class CompiledFunctions:
    """Functions compiled on first use. Runs that differ only in hyperparameters share them.

    Args:
      spec: settings of one of the runs.
      vocab_size: of the tokenizer.
      model: the model's structure.
      partitioner: places arrays on devices.
    """

    def __init__(self, spec: Spec, vocab_size: int, model: ModelDef, partitioner: MeshPartitioner) -> None:
        self._spec, self._vocab_size, self._model, self._partitioner = spec, vocab_size, model, partitioner
        self._searches: dict[tuple[DecodeSpec, bool], Callable[..., Any]] = {}

    def build_params(self, key: jax.Array) -> Params:
        """Returns random parameters; not compiled."""
        return states.split(build(self._spec.model.unrolled, self._vocab_size, key))[1]

    @functools.cached_property
    def init_params(self) -> Callable[[jax.Array], Params]:
        """`build_params`, compiled: faster than op by op."""
        return jax.jit(self.build_params, compiler_options=self._partitioner.options)

    @functools.cached_property
    def loss_sums(self) -> Callable[..., Any]:
        """(params, source_BS, target_BT) → sums of the loss and of attention statistics."""
        chunk = self._spec.train.loss_chunk

        def sums(params: Params, source_BS: jax.Array, target_BT: jax.Array) -> Any:
            loss, attention = steps.loss_and_attention(self._model, params, source_BS, target_BT, 0.0, chunk)
            return loss, attention_entropy.attention_sums(attention, source_BS != PAD, target_BT != PAD)

        return self._partitioner.compile_eval(sums, summed=True)

    @functools.cached_property
    def cross_attention(self) -> Callable[..., Any]:
        """(params, source_BS, input_BT) → (weights_BTS,), the mean over layers and heads; () without attention."""

        def weights(params: Params, source_BS: jax.Array, input_BT: jax.Array) -> tuple[jax.Array, ...]:
            model = self._model(params)
            attention = model.decode(model.encode(source_BS), input_BT).attention
            # The name of an attention ends with its kind and layer, "cross/0".
            cross = [
                w.astype("float32").mean(axis=1) for name, w in attention.items() if name.split("/")[-2] == "cross"
            ]
            return (sum(cross[1:], cross[0]) / len(cross),) if cross else ()

        return self._partitioner.compile_eval(weights)

    @functools.cached_property
    def target_scores(self) -> Callable[..., Any]:
        """(params, source_BS, input_BT, target_BT) → score_B, the log-probability of each target."""

        def scores(params: Params, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array) -> jax.Array:
            log_BT = target_log_probabilities(self._model(params), source_BS, input_BT, target_BT)
            return jnp.sum(jnp.where(target_BT == PAD, 0.0, log_BT), axis=1)

        return self._partitioner.compile_eval(scores)

    def batches_per_program(self, short: bool) -> int:
        """Returns the number of batches of one search program; 1 for sharded models, whose devices share a batch."""
        return _BATCHES_PER_PROGRAM if short and not self._partitioner.sharded else 1

    def search(self, decode: DecodeSpec, short: bool) -> Callable[..., Any]:
        """Returns (params, source_BS, or with prefix_BT) → the search result; always the same, to compile only once.

        Args:
          decode: settings of the search.
          short: whether the number of steps is limited to little more than the source length.
        """
        if (decode, short) not in self._searches:

            def run(params: Params, source_BS: jax.Array, *prefix: jax.Array) -> SearchResult:
                steps = source_BS.shape[1] * 5 // 4 + 2 if short else None
                prefix_BT = prefix[0] if prefix else None
                rows = len(source_BS) // self.batches_per_program(short)
                return search(self._model(params), source_BS, decode, None, steps, prefix_BT, rows)

            self._searches[decode, short] = self._partitioner.compile_eval(run)
        return self._searches[decode, short]
