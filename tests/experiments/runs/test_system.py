"""Settings of a spec that a system passes on or completes."""

import functools
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runs.system import System
from transformer.analysis import attention_plots
from transformer.data.pairs import Pair
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.models.ensemble import Ensemble
from transformer.spec import EOS, PAD, UNK, Spec
from transformer.training import population
from transformer.training.parallel import MeshPartitioner, PopulationPartitioner
from transformer.training.step import loss_sums


def test_widths_are_multiples_of_width_multiple(small: Callable[..., dict[str, Any]]) -> None:
    lengths = np.arange(2, 23)
    side = TokenizedSide(np.full(lengths.sum(), 5, np.uint16), np.concatenate([[0], np.cumsum(lengths)]))
    pairs = TokenizedPairs(side, side, np.arange(len(lengths)), dropped=0)
    shapes = []
    for multiple in (1, 8):
        spec = Spec.from_config(small(data__width_multiple=multiple, data__buckets=3))
        system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
        shapes.append([shape[1:] for shape in system.plan(pairs).shapes])
    assert shapes[1] == [(8, 8), (16, 16), (24, 24)] != shapes[0]


def test_packed_rows_have_one_shape_and_a_model_with_segment_masks(small: Callable[..., dict[str, Any]]) -> None:
    lengths = np.arange(2, 23)
    side = TokenizedSide(np.full(lengths.sum(), 5, np.uint16), np.concatenate([[0], np.cumsum(lengths)]))
    pairs = TokenizedPairs(side, side, np.arange(len(lengths)), dropped=0)
    spec = Spec.from_config(small(data__packed_width=24, data__max_length=22, data__buckets=3))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    plan = system.plan(pairs)
    assert [shape[1:] for shape in plan.shapes] == [(24, 24)]
    assert (plan.report()["pairs"], plan.report()["fill_up_rows"]) == (21, 1)  # 252 tokens need eleven rows of 24
    source_BS = jnp.asarray(plan.batch(0).source)

    def segments(model: Any) -> Any:
        return jax.eval_shape(lambda: model(system.initial_params).encode(source_BS)).segment_BS

    assert segments(system.training_model) is not None
    assert segments(system.model) is None  # in evaluation and translation a row is one sentence


@pytest.mark.slow
def test_a_scanned_model_starts_with_the_loss_of_the_plain_one(small: Callable[..., dict[str, Any]]) -> None:
    rows, losses = jnp.array([[4, 9, 7, EOS], [5, EOS, PAD, PAD]]), []
    for scan_layers in (False, True):
        spec = Spec.from_config(small(model__decoder_layers=3, model__scan_layers=scan_layers, model__remat="full"))
        system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
        state = system.initial_state()
        assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, system.state_shapes())
        assert ("stacked" in state.params["decoder"]) == scan_layers
        jax.tree.map(np.testing.assert_array_equal, system.evaluated_params(state), system.initial_params)
        of_batch: Any = jax.jit(functools.partial(loss_sums, system.training_model, smoothing=0, tokens=None))
        losses.append(float(of_batch(state.params, rows, rows).loss))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


TEXTS = ["un deux trois quatre", "one two three four"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_from_texts(TEXTS, 29, "bpe")


def test_an_unknown_word_is_the_source_word_with_the_most_attention(
    small: Callable[..., dict[str, Any]], tokenizer: Tokenizer
) -> None:
    system = System.make(Spec.from_config(small()), tokenizer)
    params = system.put_params(system.initial_params)
    source, target = tokenizer.encode("un 漢 deux"), [*tokenizer.encode("one Ω"), EOS]
    weights = attention_plots.cross_attention(system.model(params), source, target).mean(axis=(0, 1))
    attention = weights[target.index(UNK)]
    spans = tokenizer.token_spans("un 漢 deux")
    by_word = {
        word: sum(
            float(weight)
            for weight, (start, end) in zip(attention, spans, strict=False)
            if start < last and first < end
        )
        for word, first, last in (("un", 0, 2), ("漢", 3, 4), ("deux", 5, 9))
    }
    copied = max(by_word, key=lambda word: by_word[word])
    assert system.unknown_words(params, "copy").decode("un 漢 deux", source, target) == f"one {copied}"
    assert system.unknown_words(params, "show").decode("un 漢 deux", source, target) == "one ⁇"
    model: Any = lambda params: Ensemble([system.model(params[0]), system.model(params[1])])  # noqa: E731
    ensemble = system.with_model(model, [system.param_shapes] * 2)
    assert (
        ensemble.unknown_words(cast(Any, [params, params]), "copy").decode("un 漢 deux", source, target)
        == f"one {copied}"
    )


def test_without_attention_the_unknown_words_of_the_source_are_copied(
    small: Callable[..., dict[str, Any]], tokenizer: Tokenizer
) -> None:
    system = System.make(Spec.from_config(small(model__architecture="seq2seq")), tokenizer)
    params = system.put_params(system.initial_params)
    source, target = tokenizer.encode("un 漢 deux"), [*tokenizer.encode("one Ω"), EOS]
    assert system.unknown_words(params, "copy").decode("un 漢 deux", source, target) == "one 漢"


def test_pairs_are_read_without_characters_that_have_an_equivalent(
    small: Callable[..., dict[str, Any]], tokenizer: Tokenizer
) -> None:
    warnings: list[str] = []
    pairs = [Pair("un\u00a0deux", "\ufeffone"), Pair("un 漢", "one é漢")]
    system = System.make(Spec.from_config(small()), tokenizer)
    assert system.read_pairs(pairs, warnings.append, 5) == [Pair("un deux", "one"), pairs[1]]
    (warning,) = warnings
    assert warning.startswith("line 6: the vocabulary lacks 漢 (U+6F22), é (U+00E9);")


@pytest.mark.parametrize(("setting", "on_cpu", "expected"), [(None, True, 512), (None, False, None), (3, True, 3)])
def test_on_a_cpu_few_logits_exist_at_a_time(
    small: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    setting: int | None,
    on_cpu: bool,
    expected: int | None,
) -> None:
    monkeypatch.setattr(MeshPartitioner, "on_cpu", on_cpu)
    spec = Spec.from_config(small(train__loss_chunk=setting))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    assert system.spec.train.loss_chunk == system.with_spec(spec).spec.train.loss_chunk == expected


@pytest.mark.parametrize("setting", [None, "float32"])
def test_the_default_dtype_of_muon_is_that_of_the_model(
    small: Callable[..., dict[str, Any]], setting: str | None
) -> None:
    spec = Spec.from_config(small(model__dtype="bfloat16", train__muon_dtype=setting))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    assert system.spec.train.muon_dtype == system.with_spec(spec).spec.train.muon_dtype == (setting or "bfloat16")


def precisions(text: str) -> set[str]:
    """Returns the precisions of all float32 matmuls in a lowered program."""
    lines = [line for line in text.splitlines() if "stablehlo.dot_general" in line and "xf32>, tensor" in line]
    assert len(lines) > 9
    return {found for line in lines for found in re.findall(r"precision = \[(\w+), \w+\]", line) or ["DEFAULT"]}


@pytest.mark.parametrize("platform", ["tpu", pytest.param("cuda", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "HIGHEST", marks=pytest.mark.slow),
        ({"model__matmul_precision": "tensorfloat32"}, "HIGH"),
        pytest.param({"model__matmul_precision": "default"}, "DEFAULT", marks=pytest.mark.slow),
        pytest.param({"model__dtype": "bfloat16", "train__muon_dtype": "float32"}, "DEFAULT", marks=pytest.mark.slow),
        pytest.param(
            {"model__architecture": "rnnsearch", "model__heads": 1, "model__cross_score": "additive"},
            "HIGHEST",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_matmuls_of_every_program_have_the_configured_precision(
    small: Callable[..., dict[str, Any]], platform: str, changes: dict[str, Any], expected: str
) -> None:
    """Those of a training step, its gradient and Muon, of a population, of the validation loss and of a search."""
    spec = Spec.from_config(small(train__optimizer="muon", **changes))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    partitioner, ids = system.partitioner, jax.ShapeDtypeStruct((4, 7), jnp.int32)
    joint = PopulationPartitioner(2, matmul_precision=partitioner.matmul_precision)
    arguments: Any = (system.state_shapes(), ids, ids, system.hyperparams)
    steps: list[Any] = [each.compile_step(system.training_model, system.spec.train) for each in (partitioner, joint)]
    traces = [steps[0].trace(*arguments), steps[1].trace(*population.stacked_shapes(arguments, 2))]
    if spec.model.dtype == "float32":  # the search of a bfloat16 model has no float32 matmul
        traces.append(cast(Any, system.functions.search(spec.decode, False)).trace(system.param_shapes, ids))
    for trace in traces:
        assert precisions(trace.lower(lowering_platforms=(platform,)).as_text()) == {expected}
