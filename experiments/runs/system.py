"""The composition root: from a spec to a corpus, a tokenizer, batches, a model and what runs it on devices.

Everything imported here may import JAX; `experiments.runtime.xla_env.prepare` must have run.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np
from flax import nnx

from experiments.runs.workdir import Workdir
from experiments.runtime import xla_env
from transformer.analysis import attention_entropy
from transformer.data.batches import loader
from transformer.data.batches.evaluation import source_batches
from transformer.data.batches.loader import BatchSource, HostBatches
from transformer.data.batches.packing import pack
from transformer.data.batches.plan import BatchPlan
from transformer.data.token_dataset import Batch, TokenizedPairs
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.search import Found, search
from transformer.decoding.search_loop import one_after_the_other
from transformer.decoding.translate import Attempt, Translator
from transformer.evaluation import loss
from transformer.models.build import build
from transformer.spec import PAD, DecodeSpec, Spec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.checkpoint import Checkpoints, mean_of_last
from transformer.training.parallel import PLACEMENTS, MeshPlacement
from transformer.training.state import Model, Params, TrainState

# On a CPU sentences are searched for outputs not much longer than they are themselves, and those that have none are
# searched again with all the room up to the limit, most of which is never used, and takes time. Half of a batch is done
# long before its last sentence; a quarter of the rows is enough for the rest.
_HALVINGS = 2
_FEW = 8  # rows of a batch of those that are searched again, which are some in a thousand
# Batches that are searched in one program, one after the other: after a program a CPU's devices wait for each other, as
# long as the last sentence of one takes.
_IN_TURN = 16
_LOSS_CHUNK = 512  # target tokens whose logits exist at one time on a CPU, where no setting says how many
# Batches have a multiple of this many rows, and do not depend on how many devices share them.
ROWS = 2


@dataclasses.dataclass(frozen=True)
class System:
    """A model with its settings, tokenizer and devices: what training, evaluation and translation share.

    Attributes:
      spec: the run's settings.
      tokenizer: between text and ids.
      model: the structure.
      shapes: of the parameters.
      placement: the devices.
      given: parameters to begin with; None: they are drawn.
    """

    spec: Spec
    tokenizer: Tokenizer
    model: Model
    shapes: Params
    placement: MeshPlacement
    given: Params | None = None
    _searches: dict[tuple[DecodeSpec, bool], Callable[..., Any]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def make(
        cls, spec: Spec, tokenizer: Tokenizer, given: Params | None = None, placement: MeshPlacement | None = None
    ) -> "System":
        """Builds the model, without its parameters, or with those it is to begin with.

        Args:
          spec, tokenizer: what it is made of.
          given: the parameters it begins with; default: drawn.
          placement: how its arrays lie on devices; default: on all of them, as the settings say.

        Raises:
          ValueError: settings that fit no model, or parameters that are not the model's.
        """
        model, shapes = _split(spec, tokenizer)
        placement = placement or PLACEMENTS[spec.parallel.mode](
            options=xla_env.compiler_options(), fsdp=spec.parallel.fsdp, tensor=spec.parallel.tensor
        )
        if given is not None:
            _check_shapes(given, shapes, spec)
        return cls(_settled(spec, placement), tokenizer, model, shapes, placement, given)

    @classmethod
    def without_text(cls, spec: Spec, placement: MeshPlacement | None = None) -> "System":
        """A system for batches that come from no corpus: of its vocabulary it knows `data.vocab_size` alone."""
        tokenizer = cast(Tokenizer, SimpleNamespace(vocab_size=spec.data.vocab_size))
        return cls.make(spec, tokenizer, placement=placement)

    def beside(self, spec: Spec) -> "System":
        """The system of a spec that differs in numbers alone; programs that were compiled serve both."""
        other = dataclasses.replace(self, spec=_settled(spec, self.placement))
        shared = {"_searches": self._searches, "_loss_sums": self._loss_sums, "_draw": self._draw}
        other.__dict__.update(shared)
        return other

    def _drawn(self, key: jax.Array) -> Params:
        return states.split(build(self.spec.model, self.tokenizer.vocab_size, key))[1]

    @functools.cached_property
    def _draw(self) -> Callable[[jax.Array], Params]:
        # One compiled program: faster than op by op.
        return jax.jit(self._drawn, compiler_options=self.placement.options)

    @functools.cached_property
    def initial(self) -> Params:
        """The parameters before training: those given, or such as depend on `train.seed` alone."""
        return self._draw(self._seed) if self.given is None else jax.device_put(self.given)

    @functools.cached_property
    def learner(self) -> Model:
        """`model` as training uses it: where rows hold several sentences, it keeps them apart."""
        alone = self.spec.data.packed_width is None
        return self.model if alone else _split(self.spec, self.tokenizer, packed=True)[0]

    @functools.cached_property
    def numbers(self) -> Any:
        """Settings that are arguments of the compiled step, on the host."""
        return steps.numbers(self.spec.train, self.spec.model)

    def fresh_state(self) -> TrainState:
        """The state before the first step, on the host's default device; on all where no device is to have it whole."""
        if self.placement.divided and self.given is None:
            return self._divided_state()
        return self._state(self.initial)

    def _divided_state(self) -> TrainState:
        shardings = self.placement.shardings(self.state_shapes())
        make = jax.jit(
            lambda data: self._state(self._drawn(jax.random.wrap_key_data(data))),
            out_shardings=shardings,
            compiler_options=self.placement.options,
        )
        return make(np.asarray(jax.random.key_data(self._seed)))  # from the host: every process has it

    @property
    def _seed(self) -> jax.Array:
        """The key that parameters are drawn with."""
        return jax.random.fold_in(jax.random.key(self.spec.train.seed), 0)

    def state_shapes(self) -> TrainState:
        """Shapes and dtypes of a state."""
        return jax.eval_shape(self._state, self.shapes)

    def _state(self, params: Params) -> TrainState:
        key = jax.random.key_data(jax.random.fold_in(jax.random.key(self.spec.train.seed), 1))
        return steps.initial_state(params, self.spec.train, self.numbers, key)

    def on_devices(self, params: Params) -> Params:
        """Parameters for evaluation and search."""
        return self.placement.place(params)

    def result(self, workdir: Workdir) -> tuple[Params, list[int]]:
        """The parameters that stand for a finished run, and the steps they come from.

        With early stopping, those of the best evaluation; else the mean of the last `train.average_checkpoints`.
        """
        early = self.spec.train.early_stopping != "none" and workdir.best.exists()
        folder = workdir.best if early else workdir.checkpoints
        checkpoints = Checkpoints(folder, say=lambda text: print(text, file=sys.stderr))
        try:
            count = 1 if early else self.spec.train.average_checkpoints
            params, used = mean_of_last(checkpoints, count, self.shapes)
        finally:
            checkpoints.close()
        return self.on_devices(params), used

    def translator(self, params: Params, decode: DecodeSpec) -> Translator:
        """What translates text with `params`."""

        def attempt(rows: int, brief: bool) -> Attempt:
            compiled = self._search(decode, brief)
            # Rows of padding fill a batch up to what the devices can share evenly.
            rows = self.placement.rows(rows) * self._in_turn(brief)
            batches = functools.partial(source_batches, batch_size=rows, parts=self.placement.devices)
            return Attempt(lambda source_BS: compiled(params, self.placement.shard(source_BS)), batches)

        rows = decode.batch_size
        if not self.placement.on_cpu:
            return Translator(self.tokenizer, attempt(rows, brief=False))
        return Translator(self.tokenizer, attempt(rows, brief=True), attempt(min(_FEW, rows), brief=False))

    def _in_turn(self, brief: bool) -> int:
        """Batches of one program; where parameters are divided, devices go through each batch together."""
        return _IN_TURN if brief and not self.placement.divided else 1

    def _search(self, decode: DecodeSpec, brief: bool) -> Callable[..., Any]:
        """The compiled search with these settings; the same function each time, or it would be compiled again."""
        if (decode, brief) not in self._searches:
            options = {"frugal": self.placement.on_cpu, "halvings": _HALVINGS if brief else 0}

            def run(params: Params, source_BS: jax.Array) -> Found:
                steps = source_BS.shape[1] * 5 // 4 + 2 if brief else None
                one = functools.partial(search, self.model(params), spec=decode, steps=steps, **options)
                return one_after_the_other(one, source_BS, len(source_BS) // self._in_turn(brief))

            self._searches[decode, brief] = self.placement.compile_rows(run)
        return self._searches[decode, brief]

    @functools.cached_property
    def _loss_sums(self) -> Callable[..., Any]:
        chunk = self.spec.train.loss_chunk

        def sums(params: Params, source_BS: jax.Array, target_BT: jax.Array) -> Any:
            loss, attention = steps.loss_and_attention(self.model, params, source_BS, target_BT, 0.0, chunk)
            return loss, attention_entropy.look_sums(attention, source_BS != PAD, target_BT != PAD)

        return self.placement.compile_rows(sums, summed=True)

    def loss(self, params: Params, batches: Sequence[Batch]) -> dict[str, float]:
        """Loss and perplexity of `params` on `batches`."""
        return self.loss_and_looks(params, batches)[0]

    def loss_and_looks(self, params: Params, batches: Sequence[Batch]) -> tuple[dict[str, float], dict[str, float]]:
        """Loss and perplexity of `params` on `batches`, and how sharply each attention looks, in the same pass."""
        shard, looks = self.placement.shard, []

        def sums(batch: Batch) -> Any:
            loss, found = self._loss_sums(params, shard(batch.source), shard(batch.target))
            looks.append(found)
            return loss

        return loss.loss(sums, batches), attention_entropy.means(jax.device_get(looks))

    def plan(self, pairs: TokenizedPairs) -> BatchPlan:
        """The batches of a training split."""
        data = self.spec.data
        return BatchPlan(
            pairs if data.packed_width is None else pack(pairs, data.packed_width, data.width_multiple),
            tokens_per_batch=data.tokens_per_batch,
            buckets=data.buckets if data.packed_width is None else 1,
            seed=self.spec.train.seed,
            row_multiple=ROWS,
            width_multiple=data.width_multiple,
        )

    def batches(self, plan: BatchSource, start: int, placement: MeshPlacement) -> Iterator[Batch]:
        """Batches from number `start` on, each on the devices before it is asked for."""
        shard = placement.shard
        if jax.process_count() > 1:  # each puts together the rows that its own devices see
            if not isinstance(plan, BatchPlan):
                raise ValueError("runs are trained together by one process alone")
            plan, shard = HostBatches(plan, *placement.share, placement.devices), placement.shard_part
        waiting: list[Batch] = []
        for _, batch in loader.load_batches(plan, start, self.spec.data.workers, self.spec.data.prefetch):
            waiting.append(batch._replace(source=shard(batch.source), target=shard(batch.target)))
            if len(waiting) > 1:
                yield waiting.pop(0)


def _split(spec: Spec, tokenizer: Tokenizer, packed: bool = False) -> tuple[Model, Params]:
    """The structure of the model, and its parameters' shapes."""
    key = jax.random.key(0)
    return states.split(nnx.eval_shape(lambda: build(spec.model, tokenizer.vocab_size, key, packed=packed)))


def _settled(spec: Spec, placement: MeshPlacement) -> Spec:
    """The spec with what no setting says: what follows from others, or suits one device and not another."""
    train = spec.train
    # A CPU's cache still holds what is read again, where that is little.
    chunk = train.loss_chunk or (_LOSS_CHUNK if placement.on_cpu else None)
    settled = dataclasses.replace(train, loss_chunk=chunk, muon_dtype=train.muon_dtype or spec.model.dtype)
    return dataclasses.replace(spec, train=settled)


def _check_shapes(given: Params, shapes: Params, spec: Spec) -> None:
    """Refuses parameters to begin with that are not the model's, by name."""
    here, there = (
        {jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (shapes, given))
    )
    if differing := [name for name in sorted(here | there) if here.get(name) != there.get(name)]:
        name = differing[0]
        raise ValueError(
            f"{spec.train.init_from}: {len(differing)} parameters differ from the config's model; "
            f"{name} is {there.get(name, 'not there')} there, {here.get(name, 'not there')} here"
        )
