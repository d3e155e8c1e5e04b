"""A trained run to look into: its model with any of its heads taken out, on single sentences and on many."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from transformer.analysis import forced_decoding, head_masking
from transformer.analysis.attention_trace import Inside, look_inside
from transformer.data.batches.forced import ForcedBatch, forced_batches
from transformer.data.corpus import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.translate import Translation
from transformer.spec import PAD, DecodeSpec

_ROWS = 32  # sentences computed at a time


class Subject:
    """One run.

    Args:
      path: its folder.

    Raises:
      FileNotFoundError: there is no run, or it has no checkpoint.
      ValueError: its config.json does not fit this version.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.workdir = Workdir(path)
        spec = self.workdir.spec()
        # Whatever it was trained on: here every device has all parameters.
        parallel = dataclasses.replace(spec.parallel, mode="mesh", fsdp=1, tensor=1)
        self.spec = dataclasses.replace(spec, parallel=parallel)
        self.system = System.make(self.spec, Tokenizer.load(self.workdir.tokenizer))
        self.params, self.steps = self.system.result(self.workdir)
        self.tokenizer = self.system.tokenizer
        self.model = self.system.model(self.params)
        self.head_counts = forced_decoding.head_counts(self.model)
        self.scales = head_masking.whole(self.params, self.head_counts)

    @functools.cached_property
    def _nll(self) -> Any:
        def nll(params: Any, scales: head_masking.Scales, source_BS: Any, input_BT: Any, target_BT: Any) -> jax.Array:
            model = self.system.model(head_masking.scaled(params, scales))
            log_BT = forced_decoding.log_probabilities(model, source_BS, input_BT, target_BT)
            return -jnp.sum(jnp.where(target_BT == PAD, 0.0, log_BT), axis=1)

        def slopes(params: Any, scales: head_masking.Scales, *arrays: Any) -> head_masking.Scales:
            def one(scales: head_masking.Scales, sentence: Any) -> jax.Array:
                return nll(params, scales, *(each[None] for each in sentence))[0]

            return head_masking.gradients(one, scales, arrays)

        options = self.system.placement.options
        return jax.jit(nll, compiler_options=options), jax.jit(slopes, compiler_options=options)

    @functools.cached_property
    def _attend(self) -> Any:
        def attend(params: Any, source_BS: Any, input_BT: Any) -> dict[str, jax.Array]:
            model = self.system.model(params)
            memory = model.encode(source_BS)
            return memory.attention | model.decode(memory, input_BT).attention

        return jax.jit(attend, compiler_options=self.system.placement.options)

    def translator(self, decode: DecodeSpec, scales: head_masking.Scales | None = None) -> Any:
        """What translates text, with heads scaled so."""
        params = head_masking.scaled(self.params, self.scales if scales is None else scales)
        return self.system.translator(self.system.on_devices(params), decode)

    def translate(self, text: str, beam_size: int | None = None) -> list[tuple[Translation, float]]:
        """Every hypothesis that a beam search keeps for a sentence, best first, with what ranks it."""
        size = beam_size or self.spec.decode.beam_size
        decode = dataclasses.replace(self.spec.decode, method="beam", beam_size=size, batch_size=1)
        (found,) = self.translator(decode).translate([text], size)
        if not found[0].tokens:
            raise ValueError(f"there is nothing to read in {text!r}")
        return [(each, each.score / ((5 + len(each.tokens)) / 6) ** decode.length_penalty) for each in found]

    def read(self, source: str, target: Sequence[int]) -> tuple[forced_decoding.Reading, dict[str, Inside]]:
        """What the model does while it reads a pair; `target` are ids with EOS."""
        ids = self.tokenizer.encode(source)
        return forced_decoding.read(self.model, ids, target), look_inside(self.model, ids, target)

    def batches(self, pairs: Sequence[Pair]) -> list[ForcedBatch]:
        """Every pair, in batches of one shape, so that one compiled program serves all.

        Raises:
          ValueError: there are no pairs.
        """
        return forced_batches(self.tokenizer, pairs, min(_ROWS, len(pairs)))

    def nll(self, batches: Sequence[ForcedBatch], scales: head_masking.Scales | None = None) -> np.ndarray:
        """Of each sentence, minus the natural logarithm of its target's probability, with heads scaled so."""
        scales = self.scales if scales is None else scales
        found = [(batch, self._nll[0](self.params, scales, *batch[1:])) for batch in batches]
        return np.concatenate([np.asarray(each)[: len(batch.indices)] for batch, each in found])

    def slopes(
        self, batches: Sequence[ForcedBatch], scales: head_masking.Scales | None = None
    ) -> dict[str, np.ndarray]:
        """Of each sentence, d nll / d scale of every head: [sentences, H] by name."""
        scales = self.scales if scales is None else scales
        found = [(batch, self._nll[1](self.params, scales, *batch[1:])) for batch in batches]
        return {
            name: np.concatenate([np.asarray(each[name])[: len(batch.indices)] for batch, each in found])
            for name in self.scales
        }

    def attention(self, batches: Sequence[ForcedBatch]) -> Iterator[tuple[int, ForcedBatch, Mapping[str, np.ndarray]]]:
        """Each sentence's index, its batch, and the weights of every attention without padding: [H, ...]."""
        for batch in batches:
            weights = self._attend(self.params, *batch[1:3])
            yield from batch.apart({name: np.asarray(weights[name]) for name in self.head_counts})
