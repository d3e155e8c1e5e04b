"""What a spec asks of the data reaches it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runs.system import System
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import Spec
from transformer.training.parallel import MeshPartitioner


def test_widths_are_multiples_of_width_multiple(small: Callable[..., dict[str, Any]]) -> None:
    lengths = np.arange(2, 23)
    side = TokenizedSide(np.full(lengths.sum(), 5, np.uint16), np.concatenate([[0], np.cumsum(lengths)]))
    pairs = TokenizedPairs(side, side, np.arange(len(lengths)), dropped=0)
    found = []
    for multiple in (1, 8):
        spec = Spec.from_config(small(data__width_multiple=multiple, data__buckets=3))
        system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
        found.append([shape[1:] for shape in system.plan(pairs).shapes])
    assert found[1] == [(8, 8), (16, 16), (24, 24)] != found[0]


def test_packed_rows_have_one_shape_and_a_model_with_segment_masks(small: Callable[..., dict[str, Any]]) -> None:
    lengths = np.arange(2, 23)
    side = TokenizedSide(np.full(lengths.sum(), 5, np.uint16), np.concatenate([[0], np.cumsum(lengths)]))
    pairs = TokenizedPairs(side, side, np.arange(len(lengths)), dropped=0)
    spec = Spec.from_config(small(data__packed_width=24, data__max_length=22, data__buckets=3))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    plan = system.plan(pairs)
    assert [shape[1:] for shape in plan.shapes] == [(24, 24)]
    assert (plan.report()["pairs"], plan.report()["fill_up_rows"]) == (21, 1)  # 252 tokens are eleven rows' of 24
    source_BS = jnp.asarray(plan.batch(0).source)

    def segments(model: Any) -> Any:
        return jax.eval_shape(lambda: model(system.initial_params).encode(source_BS)).segment_BS

    assert segments(system.training_model) is not None
    assert segments(system.model) is None  # of what is evaluated or translated a row is a sentence


@pytest.mark.parametrize(("asked", "on_cpu", "found"), [(None, True, 512), (None, False, None), (3, True, 3)])
def test_on_a_cpu_few_logits_exist_at_a_time(
    small: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    on_cpu: bool,
    found: int | None,
) -> None:
    monkeypatch.setattr(MeshPartitioner, "on_cpu", on_cpu)
    spec = Spec.from_config(small(train__loss_chunk=asked))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    assert system.spec.train.loss_chunk == system.with_spec(spec).spec.train.loss_chunk == found


@pytest.mark.parametrize("asked", [None, "float32"])
def test_the_default_dtype_of_muon_is_that_of_the_model(
    small: Callable[..., dict[str, Any]], asked: str | None
) -> None:
    spec = Spec.from_config(small(model__dtype="bfloat16", train__muon_dtype=asked))
    system = System.make(spec, cast(Tokenizer, SimpleNamespace(vocab_size=43)))
    assert system.spec.train.muon_dtype == system.with_spec(spec).spec.train.muon_dtype == (asked or "bfloat16")
