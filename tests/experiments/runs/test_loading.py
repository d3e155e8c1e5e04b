"""Trained runs and their ensembles, loaded with any dtype."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.evaluate import evaluate
from experiments.runs.execute import train_and_test
from experiments.runs.loading import load, with_dtype
from experiments.runs.result import write_result
from experiments.runs.run import Run
from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from transformer.spec import EOS, PAD, Spec


@pytest.mark.slow
def test_a_run_translates_in_another_dtype(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The parameters are equal; the logits differ, and some words may."""
    loaded = {dtype: load([str(trained)], dtype) for dtype in (None, "float32", "bfloat16")}
    assert {dtype: system.spec.model.dtype for dtype, (system, *_) in loaded.items()} == {
        None: "float32",
        "float32": "float32",
        "bfloat16": "bfloat16",
    }
    source_BS = jnp.array([[5, 7, 6, EOS], [8, EOS, PAD, PAD]], jnp.int32)
    states = {dtype: system.model(params).encode(source_BS).states_BSD for dtype, (system, params, _) in loaded.items()}
    np.testing.assert_array_equal(states[None], states["float32"])
    assert states["bfloat16"].dtype == "bfloat16"
    difference = np.abs(np.float32(states["bfloat16"]) - states["float32"]).max()
    assert 1e-4 < difference < 0.2
    assert evaluate([str(trained)], "test", None, None, str(tmp_path / "out.txt"), "bfloat16")["sentences"] == 5


def test_cudnn_attention_is_used_only_for_16_bits(small: Callable[..., dict[str, Any]]) -> None:
    half = {"model__attention_kernel": "cudnn", "model__dtype": "bfloat16", "model__d_k": 8, "model__d_v": 8}
    spec = Spec.from_config(small(**half))
    models = {dtype: with_dtype(spec, dtype).model for dtype in (None, "bfloat16", "float32")}
    assert {dtype: (model.dtype, model.attention_kernel) for dtype, model in models.items()} == {
        None: ("bfloat16", "cudnn"),
        "bfloat16": ("bfloat16", "cudnn"),
        "float32": ("float32", "xla"),
    }


@pytest.mark.slow
def test_a_bfloat16_run_is_scored_in_float32_with_any_batch_size(
    small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of training, by `write_result` and by `evaluate`; in bfloat16, batch sizes change translations."""
    dtypes, translator, loss = [], System.translator, System.loss
    monkeypatch.setattr(
        System, "translator", lambda *args, **more: dtypes.append(args[0].spec.model.dtype) or translator(*args, **more)
    )

    def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda system, *args, **more: dtypes.append(system.spec.model.dtype) or function(system, *args, **more)

    monkeypatch.setattr(System, "translator", recorded(translator))
    monkeypatch.setattr(System, "loss", recorded(loss))
    settings = {"model__dtype": "bfloat16", "train__steps": 2, "train__average_checkpoints": 1}
    spec = Spec.from_config(small(evaluate__sentences=0, **settings))
    workdir = Workdir(tmp_path / "run")
    train_and_test(spec, str(workdir.path))
    translations = workdir.translations("test", 2).read_text()
    assert write_result(Run.open(spec, str(workdir.path), (), clock=lambda: 0.0))["updates"] == 2
    for batch_size in (3, 16):
        decode = dataclasses.replace(spec.decode, batch_size=batch_size)
        workdir.create_or_check(dataclasses.replace(spec, decode=decode))
        evaluate([str(workdir.path)], "test", None, None, str(tmp_path / "out.txt"))
        assert (tmp_path / "out.txt").read_text() == translations
    assert len(dtypes) >= 5  # the test split, its figure, the perplexity, two evaluations
    assert set(dtypes) == {"float32"}
