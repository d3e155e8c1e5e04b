"""The compiled functions of a model outside of training: initialisation, validation loss and search."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from transformer.analysis import attention_entropy
from transformer.decoding.search import SearchResult, search
from transformer.decoding.search_loop import map_sequentially
from transformer.models.build import build
from transformer.spec import PAD, DecodeSpec, Spec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import MeshPartitioner
from transformer.training.state import ModelDef, Params

# A short search compacts a batch twice: half of a batch is done long before its last sentence, and a quarter of the
# rows is enough for the rest.
_COMPACTIONS = 2
# Batches searched one after the other in one program of a short search: at the end of a program the devices of a CPU
# wait for each other, for as long as the last sentence of one takes.
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
        return states.split(build(self._spec.model, self._vocab_size, key))[1]

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

    def batches_per_program(self, short: bool) -> int:
        """Returns the number of batches of one search program; 1 for sharded models, whose devices share a batch."""
        return _BATCHES_PER_PROGRAM if short and not self._partitioner.sharded else 1

    def search(self, decode: DecodeSpec, short: bool) -> Callable[..., Any]:
        """Returns (params, source_BS) → the search result; the same function each time, so that it compiles once.

        Args:
          decode: settings of the search.
          short: whether the number of steps is limited to little more than the source length.
        """
        if (decode, short) not in self._searches:

            def run(params: Params, source_BS: jax.Array) -> SearchResult:
                steps = source_BS.shape[1] * 5 // 4 + 2 if short else None
                search_batch = functools.partial(
                    search, self._model(params), spec=decode, steps=steps, compactions=_COMPACTIONS if short else 0
                )
                return map_sequentially(search_batch, source_BS, len(source_BS) // self.batches_per_program(short))

            self._searches[decode, short] = self._partitioner.compile_eval(run)
        return self._searches[decode, short]
