"""A trained run for analysis: its model with scaled or masked heads, on single sentences and on batches."""

import copy
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runs import loading
from experiments.runs.long_lines import LongLineTranslator, check_pair_lengths, max_input_tokens, max_pair_tokens
from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from transformer.analysis import forced_decoding, head_masking
from transformer.analysis.attention_trace import AttentionTrace, trace_attention
from transformer.analysis.forced_decoding import PairOutputs
from transformer.analysis.head_masking import Scales
from transformer.data.batches.forced import ForcedBatch, forced_batches
from transformer.data.corpus import Pair
from transformer.data.token_dataset import encode_pairs
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.decoding.translate import Translation
from transformer.padding import padded_width
from transformer.spec import PAD, DecodeSpec
from transformer.training.checkpoint import Checkpoints

_ROWS = 32  # sentences in a batch
_LONGEST = 256  # tokens of an analysed sentence, if training had no longer ones: figures have a cell per pair of tokens


def print_warning(message: str) -> None:
    """Prints a warning to standard error."""
    print(f"warning: {message}", file=sys.stderr)


class InspectedRun:
    """A trained run.

    Args:
      path: workdir of the run.

    Raises:
      FileNotFoundError: there is no run, or it has no checkpoint.
      ValueError: its config.json does not fit this version.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.workdir = Workdir(path)
        spec = self.workdir.spec()
        # Analysis replicates all parameters, whatever the run was trained on.
        parallel = dataclasses.replace(spec.parallel, mode="mesh", fsdp=1, tensor=1)
        self.spec = dataclasses.replace(spec, parallel=parallel)
        system = System.make(self.spec, load_tokenizer(self.workdir.tokenizer))
        self.system, self.params, self.steps = loading.load_params(system, self.workdir)
        self.tokenizer = self.system.tokenizer
        self.model = self.system.model(self.params)
        self.head_counts = forced_decoding.head_counts(self.model)
        self.scales = head_masking.unit_scales(self.params, self.head_counts)
        functions = (self._batch_nll, self._batch_gradients, self._batch_attention)
        self._compiled_nll, self._compiled_gradients, self._compiled_attention = map(self.jit, functions)

    @property
    def name(self) -> str:
        """Name of the workdir."""
        return self.workdir.path.absolute().name

    def kept_steps(self) -> list[int]:
        """Returns the steps of the kept checkpoints, oldest first."""
        return sorted(self.workdir.steps())

    def at_step(self, step: int) -> "InspectedRun":
        """Returns the run with the parameters of a kept checkpoint; both share the compiled functions.

        Raises:
          ValueError: the checkpoint has LoRA layers, or belongs to another model.
        """
        checkpoints, run = Checkpoints(self.workdir.checkpoints), copy.copy(self)
        try:
            run.params = self.system.put_params(checkpoints.restore_params(step, self.system.param_shapes))
        finally:
            checkpoints.close()
        run.model, run.steps = self.system.model(run.params), [step]
        return run

    @property
    def is_generated(self) -> bool:
        """Whether the corpus is the generated one, which has phenomena and gold alignments."""
        return self.spec.data.source == "grammar"

    def require_generated(self, study: str, remedy: str = "") -> None:
        """Raises ValueError, which names the study, unless the run was trained on the generated corpus."""
        if not self.is_generated:
            source = self.spec.data.source
            raise ValueError(f"--study={study} needs a run on the generated corpus, not data.source={source}{remedy}")

    def _batch_nll(self, params: Any, scales: Scales, source_BS: Any, input_BT: Any, target_BT: Any) -> Any:
        model = self.system.model(head_masking.scale_heads(params, scales))
        log_BT = forced_decoding.target_log_probabilities(model, source_BS, input_BT, target_BT)
        return -jnp.sum(jnp.where(target_BT == PAD, 0.0, log_BT), axis=1)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles a function for the run's precision and devices."""
        partitioner = self.system.partitioner
        return jax.jit(partitioner.at_precision(function), compiler_options=partitioner.options)

    def _batch_gradients(self, params: Any, scales: Scales, *arrays: Any) -> Scales:
        def sentence_nll(scales: Scales, sentence: Any) -> jax.Array:
            return self._batch_nll(params, scales, *(ids[None] for ids in sentence))[0]

        return head_masking.scale_gradients(sentence_nll, scales, arrays)

    def _batch_attention(self, params: Any, source_BS: Any, input_BT: Any) -> dict[str, jax.Array]:
        model = self.system.model(params)
        memory = model.encode(source_BS)
        return memory.attention | model.decode(memory, input_BT).attention

    def translator(self, decode: DecodeSpec, scales: Scales | None = None) -> Any:
        """Returns a translator of the model with scaled heads."""
        params = head_masking.scale_heads(self.params, self.scales if scales is None else scales)
        return self._translator(decode, params)

    def _translator(self, decode: DecodeSpec, params: Any, limit: int | None = None) -> LongLineTranslator:
        return self.system.translator(self.system.put_params(params), decode, limit)

    def translate_greedily(self, texts: Sequence[str]) -> list[str]:
        """Returns the translations of a greedy search."""
        translator = self._translator(dataclasses.replace(self.spec.decode, method="greedy"), self.params)
        return [best.text for best, *_ in translator.translate(texts)]

    def translate(self, text: str, beam_size: int | None = None) -> list[tuple[Translation, float]]:
        """Returns all hypotheses of a beam search with their ranks, best first; the text is not split.

        Raises:
          ValueError: the text is empty or too long.
        """
        limit, count = max(max_input_tokens(self.spec), _LONGEST), len(self.tokenizer.encode(text))
        if count > limit:
            start = f"{text[:40]}…" if len(text) > 40 else text
            raise ValueError(f"{start!r} has {count} tokens, more than {limit}; analyse its sentences one by one")
        size = beam_size or self.spec.decode.beam_size
        decode = dataclasses.replace(self.spec.decode, method="beam", beam_size=size, batch_size=1)
        (hypotheses,) = self._translator(decode, self.params, limit=0).translate([text], size)
        if not hypotheses[0].tokens:
            raise ValueError(f"{text!r} has no words to translate")
        return [(hyp, hyp.score / ((5 + len(hyp.tokens)) / 6) ** decode.length_penalty) for hyp in hypotheses]

    def read(self, source: str, target: str | None, number: int) -> tuple[str, str | None]:
        """Returns a source and its reference as the model reads them; warns about the unknown characters of both."""
        (pair,) = self.system.read_pairs([Pair(source, target or "")], print_warning, number)
        return pair.source, None if target is None else pair.target

    def warn_about(self, pairs: Sequence[Pair]) -> None:
        """Prints a warning for each pair with unknown characters."""
        self.system.read_pairs(pairs, print_warning)

    def inspect(self, source: str, target: Sequence[int]) -> tuple[PairOutputs, dict[str, AttentionTrace]]:
        """Returns the outputs and the attention traces of one pair; `target` are ids with EOS."""
        ids = self.tokenizer.encode(source)
        decode_pair, trace = map(self.system.partitioner.at_precision, (forced_decoding.decode_pair, trace_attention))
        return decode_pair(self.model, ids, target), trace(self.model, ids, target)

    def batches(self, pairs: Sequence[Pair]) -> list[ForcedBatch]:
        """Returns all pairs in batches of one shape, for one compiled program.

        Raises:
          ValueError: there are no pairs, or one has more tokens than a training batch.
        """
        pairs = self.system.read_pairs(pairs)
        tokenized = encode_pairs(pairs, range(len(pairs)), self.tokenizer, None)
        check_pair_lengths(tokenized, max_pair_tokens(self.spec), lambda index: f"pair {index + 1}")
        longest = max((int(side.max(initial=1)) for side in tokenized.lengths), default=1)
        fitting = _ROWS * padded_width(self.spec.data.max_length) // longest
        return forced_batches(self.tokenizer, pairs, max(1, min(_ROWS, len(pairs), fitting)))

    def nll(self, batches: Sequence[ForcedBatch], scales: Scales | None = None) -> np.ndarray:
        """Returns the negative log-likelihood of each target in nats, with scaled heads: [sentences]."""
        scales = self.scales if scales is None else scales
        # All batches are dispatched before the first read.
        results = [(batch, self._compiled_nll(self.params, scales, *batch[1:])) for batch in batches]
        return np.concatenate([np.asarray(nll_B)[: len(batch.indices)] for batch, nll_B in results])

    def scale_gradients(self, batches: Sequence[ForcedBatch], scales: Scales | None = None) -> dict[str, np.ndarray]:
        """Returns d nll / d scale of every head for each sentence: [sentences, H] by name."""
        scales = self.scales if scales is None else scales
        results = [(len(batch.indices), self._compiled_gradients(self.params, scales, *batch[1:])) for batch in batches]
        by_name = {name: [np.asarray(gradients[name])[:count] for count, gradients in results] for name in self.scales}
        return {name: np.concatenate(arrays) for name, arrays in by_name.items()}

    def attention(self, batches: Sequence[ForcedBatch]) -> Iterator[tuple[int, ForcedBatch, Mapping[str, np.ndarray]]]:
        """Yields the index, the pair and the weights of each attention, [H, ...], per sentence, without padding."""
        for batch in batches:
            weights = self._compiled_attention(self.params, batch.source_BS, batch.input_BT)
            yield from batch.unpadded({name: np.asarray(weights[name]) for name in self.head_counts})
