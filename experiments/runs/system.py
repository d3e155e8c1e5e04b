"""The composition root: builds a model, its batches and its partitioner from a spec and a tokenizer.

Everything imported in this module may import JAX; `experiments.runtime.xla_env.prepare` must have run before.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np

from experiments.runs.compiled import CompiledFunctions
from experiments.runs.long_lines import LongLineTranslator, check_pair_lengths, max_input_tokens, max_pair_tokens
from experiments.runs.workdir import Workdir
from experiments.runtime import jax_switches, xla_env
from transformer.analysis import attention_entropy
from transformer.data import token_dataset
from transformer.data.batches import loader
from transformer.data.batches.buckets import assign
from transformer.data.batches.evaluation import ordered_batches, source_batches
from transformer.data.batches.loader import BatchSource, HostBatches
from transformer.data.batches.packing import pack
from transformer.data.batches.plan import BatchPlan
from transformer.data.corpus import Pair
from transformer.data.token_dataset import Batch, TokenizedPairs
from transformer.data.tokenizers.input_text import InputLine, InputText
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.sentence_split import split_codes
from transformer.decoding.translate import SearchPass, Translator
from transformer.decoding.unknown_words import UnknownWords
from transformer.evaluation import loss
from transformer.layers import lora
from transformer.models.build import abstract_model
from transformer.padding import padded_width
from transformer.spec import BOS, EOS, PAD, DecodeSpec, Spec
from transformer.training import freezing
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.checkpoint import Checkpoints, average_last, evaluated_params, is_scheduled
from transformer.training.loop import stopping_step
from transformer.training.parallel import PARTITIONERS, MeshPartitioner
from transformer.training.state import ModelDef, Params, TrainState

# On a CPU a first, short search allows outputs that are not much longer than the source. The few sentences that it does
# not finish, some in a thousand, are searched again up to the full limit, most of which is never used and takes time.
_RETRY_ROWS = 8  # rows of a batch of the second search
_CPU_LOSS_CHUNK = 512  # target tokens whose logits exist at one time on a CPU, unless a setting gives another number
# Batches have a multiple of this many rows, whatever the number of devices, so that they are equal on all machines.
ROW_MULTIPLE = 2


@dataclasses.dataclass(frozen=True)
class System:
    """A model with its settings, tokenizer and devices, for training, evaluation and translation.

    Attributes:
      spec: settings of the run.
      tokenizer: converts between text and token ids.
      model: structure of the model.
      param_shapes: shapes of the parameters.
      partitioner: places arrays on devices.
      functions: compiled functions, which systems that differ only in hyperparameters share.
      pretrained_params: parameters that training starts from; None: random parameters.
    """

    spec: Spec
    tokenizer: Tokenizer
    model: ModelDef
    param_shapes: Params
    partitioner: MeshPartitioner
    functions: CompiledFunctions
    pretrained_params: Params | None = None

    @classmethod
    def make(
        cls,
        spec: Spec,
        tokenizer: Tokenizer,
        pretrained_params: Params | None = None,
        partitioner: MeshPartitioner | None = None,
    ) -> "System":
        """Builds the structure of the model; its parameters are not created yet.

        Args:
          spec: settings of the run.
          tokenizer: converts between text and token ids.
          pretrained_params: parameters that training starts from; default: random parameters.
          partitioner: places arrays on devices; default: on all devices, according to `spec.parallel`.

        Raises:
          ValueError: no model has these settings, the parameters have other names or shapes than the model's, or
        `train.freeze` does not fit the model.
        """
        jax_switches.reset()
        partitioner = partitioner or PARTITIONERS[spec.parallel.mode](
            options=xla_env.compiler_options(),
            fsdp=spec.parallel.fsdp,
            tensor=spec.parallel.tensor,
            matmul_precision=spec.model.float32_precision,
        )
        model, shapes = _split(spec, tokenizer, partitioner)
        freezing.check(shapes, spec.train)
        if pretrained_params is not None:
            _check_shapes(pretrained_params, jax.eval_shape(lora.merge, shapes), spec)
        spec = _resolve_defaults(spec, partitioner)
        functions = CompiledFunctions(spec, tokenizer.vocab_size, model, partitioner)
        return cls(spec, tokenizer, model, shapes, partitioner, functions, pretrained_params)

    @classmethod
    def without_corpus(cls, spec: Spec, partitioner: MeshPartitioner | None = None) -> "System":
        """Builds a system for batches of token ids only: its tokenizer has a size, `data.vocab_size`, and no tokens."""
        tokenizer = cast(Tokenizer, SimpleNamespace(vocab_size=spec.data.vocab_size))
        return cls.make(spec, tokenizer, partitioner=partitioner)

    def with_spec(self, spec: Spec) -> "System":
        """Returns the system of a spec that differs only in hyperparameters; it shares the compiled functions."""
        return dataclasses.replace(self, spec=_resolve_defaults(spec, self.partitioner))

    def with_model(self, model: ModelDef, param_shapes: Any) -> "System":
        """Returns the system of another model with the same settings, such as an ensemble."""
        functions = CompiledFunctions(self.spec, self.tokenizer.vocab_size, model, self.partitioner)
        return dataclasses.replace(self, model=model, param_shapes=param_shapes, functions=functions)

    @functools.cached_property
    def initial_params(self) -> Params:
        """The parameters before training: pretrained ones, or random ones, which depend only on `train.seed`."""
        if self.pretrained_params is None:
            return self.functions.init_params(self._init_key)
        pretrained_params = jax.device_put(self.pretrained_params)
        if self.spec.model.lora_rank is None:
            return pretrained_params
        return lora.expand(pretrained_params, self.functions.init_params(self._init_key))

    @functools.cached_property
    def training_model(self) -> ModelDef:
        """`model` as training uses it: with `model.remat` and `model.scan_layers`, and for packed rows.

        With packed rows, no sentence attends to another sentence of its row. With `model.scan_layers`, its parameters
        are `state.stack_layers` of those of `model`.
        """
        model, packed = self.spec.model, self.spec.data.packed_width is not None
        if model == model.unrolled and not packed:
            return self.model
        options: dict[str, Any] = {"on_params": self.partitioner.gather_params} if self.partitioner.sharded else {}
        return states.split(abstract_model(model, self.tokenizer.vocab_size, packed=packed, **options))[0]

    @functools.cached_property
    def hyperparams(self) -> Any:
        """Settings that are arguments of the compiled step, on the host."""
        return steps.hyperparams(self.spec.train, self.spec.model)

    def initial_state(self) -> TrainState:
        """Returns the state before the first step, on the default device; sharded if the model is."""
        if self.partitioner.sharded and self.pretrained_params is None:
            return self._sharded_initial_state()
        return self._state(self.initial_params)

    def _sharded_initial_state(self) -> TrainState:
        shardings = self.partitioner.shardings(self.state_shapes())
        init = jax.jit(
            lambda data: self._state(self.functions.build_params(jax.random.wrap_key_data(data))),
            out_shardings=shardings,
            compiler_options=self.partitioner.options,
        )
        return init(np.asarray(jax.random.key_data(self._init_key)))  # a host array, because every process has it

    @property
    def _init_key(self) -> jax.Array:
        """The key of the random parameters."""
        return jax.random.fold_in(jax.random.key(self.spec.train.seed), 0)

    def state_shapes(self) -> TrainState:
        """Returns shapes and dtypes of the training state."""
        return jax.eval_shape(self._state, self.param_shapes)

    def _state(self, params: Params) -> TrainState:
        key = jax.random.key_data(jax.random.fold_in(jax.random.key(self.spec.train.seed), 1))
        params = states.stack_layers(params) if self.spec.model.scan_layers else params
        return steps.initial_state(params, self.spec.train, self.hyperparams, key)

    def evaluated_params(self, state: TrainState) -> Params:
        """Returns the parameters of a state that `model` evaluates, on the devices."""
        params = evaluated_params(state)
        return self.put_params(jax.jit(states.unstack_layers)(params) if self.spec.model.scan_layers else params)

    def put_params(self, params: Params) -> Params:
        """Places parameters on the devices, for evaluation and search."""
        return self.partitioner.put_params(params)

    def final_params(self, workdir: Workdir) -> tuple[Params, list[int]]:
        """Returns the parameters of a finished run, and the steps of the checkpoints that they come from.

        With early stopping: those of the best evaluation; otherwise the mean of the last `train.average_checkpoints`,
        without those that an interruption added.
        """
        spec = self.spec
        use_best = spec.train.early_stopping != "none" and workdir.best.exists()
        stopped_at = None if use_best else stopping_step(spec, workdir.evaluations(spec))
        checkpoints = Checkpoints(
            workdir.best if use_best else workdir.checkpoints,
            log=lambda text: print(text, file=sys.stderr),
            scheduled=lambda step: use_best or is_scheduled(spec, step) or step == stopped_at,
        )
        try:
            count = 1 if use_best else spec.train.average_checkpoints
            params, used = average_last(checkpoints, count, self.param_shapes)
        finally:
            checkpoints.close()
        return self.put_params(params), used

    def translator(
        self,
        params: Params,
        decode: DecodeSpec,
        limit: int | None = None,
        warn: Callable[[str], None] = lambda message: None,
        unknown: str = "copy",
    ) -> LongLineTranslator:
        """Returns a translator with `params`, for lines of any length.

        Args:
          params: the parameters.
          decode: settings of the search.
          limit: lines with more tokens are translated in parts; None: the limit of training; 0: lines are never split.
          warn: called with a message for every line that is translated in parts or has unknown characters.
          unknown: what stands for unknown words in translations, one of `spec.UNKNOWN_POLICIES`.
        """

        def search_pass(rows: int, short: bool) -> SearchPass:
            compiled = self.functions.search(decode, short)
            # Rows of padding make a batch divisible by the devices.
            programs = self.functions.batches_per_program(short)
            rows = self.partitioner.padded_rows(rows) * programs
            batches = functools.partial(
                source_batches,
                batch_size=rows,
                num_shards=self.partitioner.batch_parts,
                max_tokens=rows * padded_width(max_input_tokens(self.spec) + 1),
                row_multiple=self.partitioner.padded_rows(1) * programs,
            )
            return SearchPass(lambda *arrays: compiled(params, *map(self.partitioner.shard, arrays)), batches)

        rows = decode.batch_size
        if self.partitioner.on_cpu:
            passes = [search_pass(rows, short=True), search_pass(min(_RETRY_ROWS, rows), short=False)]
        else:
            passes = [search_pass(rows, short=False)]
        limit = max_input_tokens(self.spec) if limit is None else limit
        translator = Translator(self.tokenizer, *passes, unknown=self.unknown_words(params, unknown))
        return LongLineTranslator(translator, self.tokenizer, limit, warn, self.input_text)

    @functools.cached_property
    def input_text(self) -> InputText:
        """Prepares source text for the model."""
        return InputText(self.tokenizer, split_codes)

    @functools.cached_property
    def target_text(self) -> InputText:
        """Prepares given target text, such as references whose probability is computed."""
        return InputText(self.tokenizer.for_target, split_codes)

    def read_pairs(
        self, pairs: Sequence[Pair], warn: Callable[[str], None] = lambda message: None, first: int = 1
    ) -> list[Pair]:
        """Returns pairs as the model reads them: without characters for which the vocabulary has an equivalent.

        Args:
          pairs: the pairs.
          warn: called with a message for every pair with unknown characters.
          first: number of the first pair, for messages.
        """
        sources = self.input_text.read([pair.source for pair in pairs])
        targets = self.target_text.read([pair.target for pair in pairs])
        for number, (source, target) in enumerate(zip(sources, targets, strict=True), first):
            if warning := InputLine("", tuple(dict.fromkeys(source.unknown + target.unknown))).warning(number):
                warn(warning)
        return [Pair(source.text, target.text) for source, target in zip(sources, targets, strict=True)]

    def unknown_words(self, params: Params, policy: str) -> UnknownWords:
        """Returns the object that replaces unknown words in translations by `params`; see `UnknownWords`."""

        def attention(source: Sequence[int], target: Sequence[int]) -> np.ndarray | None:
            # Both widths are powers of two, so that few programs are compiled.
            inputs = (([*source, EOS], len(source) + 1), ([BOS, *target[:-1]], len(target)))
            arrays = [
                np.full((self.partitioner.padded_rows(1), padded_width(width)), PAD, np.int32) for _, width in inputs
            ]
            for array, (ids, width) in zip(arrays, inputs, strict=True):
                array[0, :width] = ids
            weights = self.functions.cross_attention(params, *map(self.partitioner.shard, arrays))
            return np.asarray(weights[0])[0, : len(target), : len(source) + 1] if weights else None

        return UnknownWords(self.tokenizer, policy, attention, self.input_text.uncovered)

    def loss(self, params: Params, batches: Sequence[Batch]) -> dict[str, float]:
        """Returns loss and perplexity of `params` on `batches`."""
        return self.loss_and_attention_stats(params, batches)[0]

    def loss_and_attention_stats(
        self, params: Params, batches: Sequence[Batch]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Returns loss and perplexity of `params` on `batches`, and attention statistics from the same pass."""
        shard, attention_sums = self.partitioner.shard, []

        def sums(batch: Batch) -> Any:
            loss_sums, of_attention = self.functions.loss_sums(params, shard(batch.source), shard(batch.target))
            attention_sums.append(of_attention)
            return loss_sums

        return loss.mean_loss(sums, batches), attention_entropy.means(jax.device_get(attention_sums))

    def plan(self, pairs: TokenizedPairs) -> BatchPlan:
        """Returns the batch plan of a training split."""
        data = self.spec.data
        return BatchPlan(
            pairs if data.packed_width is None else pack(pairs, data.packed_width, data.width_multiple),
            tokens_per_batch=data.tokens_per_batch,
            buckets=data.buckets if data.packed_width is None else 1,
            seed=self.spec.train.seed,
            row_multiple=ROW_MULTIPLE,
            width_multiple=data.width_multiple,
        )

    def batches(self, source: BatchSource, start: int, partitioner: MeshPartitioner) -> Iterator[Batch]:
        """Yields batches from number `start` on; each is on the devices before it is requested."""
        shard = partitioner.shard
        if jax.process_count() > 1:  # each process reads only the rows of its own devices
            if not isinstance(source, BatchPlan):
                raise ValueError("populations train in a single process")
            source = HostBatches(source, *partitioner.local_parts, partitioner.batch_parts)
            shard = partitioner.shard_local
        waiting: list[Batch] = []
        for _, batch in loader.load_batches(source, start, self.spec.data.workers, self.spec.data.prefetch):
            waiting.append(batch._replace(source=shard(batch.source), target=shard(batch.target)))
            if len(waiting) > 1:
                yield waiting.pop(0)

    def eval_batches(self, pairs: Sequence[Pair], plan: BatchPlan) -> list[Batch]:
        """Returns batches that contain each of the validation split's `pairs` once.

        There are two batch shapes: compiling for more would take longer than the padding that they save. Without
        packed rows they are two shapes of the training plan. Longer pairs have batches of their own.

        Raises:
          ValueError: a pair has more tokens than a batch, or all pairs have an empty side.
        """
        data, limit = self.spec.data, max_pair_tokens(self.spec)
        tokenized = token_dataset.tokenize(pairs, self.tokenizer, None)
        check_pair_lengths(
            tokenized, limit, lambda index: f"data.validation_split={data.validation_split}, line {index + 1}"
        )
        tokens, rows = data.tokens_per_batch, self.partitioner.batch_parts
        if (width := data.packed_width) is None:
            shapes = dict.fromkeys((plan.shapes[len(plan.shapes) // 2], plan.shapes[-1]))
        else:
            source, target = tokenized.lengths
            short = (source <= width) & (target <= width)
            lengths = source[short], target[short]
            shapes = assign(lengths, tokens, 2, rows, data.width_multiple).shapes if short.any() else ()
        return [batch for _, batch in ordered_batches(tokenized, tokens, tuple(shapes), rows, limit)]


def _split(spec: Spec, tokenizer: Tokenizer, partitioner: MeshPartitioner) -> tuple[ModelDef, Params]:
    """Returns the structure of the model for evaluation and search, and the shapes of its parameters."""
    chunked_cache = partitioner.on_cpu
    return states.split(abstract_model(spec.model.unrolled, tokenizer.vocab_size, chunked_cache=chunked_cache))


def _resolve_defaults(spec: Spec, partitioner: MeshPartitioner) -> Spec:
    """Returns the spec with values for settings that are None, which depend on other settings or on the devices."""
    train = spec.train
    # A small chunk stays in the CPU's cache until it is read again.
    chunk = train.loss_chunk or (_CPU_LOSS_CHUNK if partitioner.on_cpu else None)
    train = dataclasses.replace(train, loss_chunk=chunk, muon_dtype=train.muon_dtype or spec.model.dtype)
    return dataclasses.replace(spec, train=train)


def _check_shapes(pretrained_params: Params, shapes: Params, spec: Spec) -> None:
    """Raises ValueError if the names or shapes of pretrained parameters are not the model's."""
    expected, actual = (
        {jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (shapes, pretrained_params))
    )
    if differing := [name for name in sorted(expected | actual) if expected.get(name) != actual.get(name)]:
        name = differing[0]
        raise ValueError(
            f"{spec.train.init_from}: {len(differing)} parameters differ from the config's model; "
            f"{name} is {actual.get(name, 'missing')} in the folder, {expected.get(name, 'missing')} in the config"
        )
