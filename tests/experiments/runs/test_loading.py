"""Trained runs and their ensembles, loaded with any dtype."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.evaluate import evaluate
from experiments.runs.loading import _with_dtype, load
from transformer.spec import EOS, PAD, Spec


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
    models = {dtype: _with_dtype(spec, dtype).model for dtype in (None, "bfloat16", "float32")}
    assert {dtype: (model.dtype, model.attention_kernel) for dtype, model in models.items()} == {
        None: ("bfloat16", "cudnn"),
        "bfloat16": ("bfloat16", "cudnn"),
        "float32": ("float32", "xla"),
    }
