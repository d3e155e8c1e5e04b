import numpy as np
import pytest

from experiments.benchmark.peers import ours
from experiments.benchmark.workloads import Workload, make_batches
from experiments.runs.model_flops import batch_flops
from experiments.runs.system import System
from transformer.spec import EOS, PAD, Spec

_TINY = Workload(d_model=12, d_ff=20, heads=3, layers=2, vocabulary=53, rows=6, width=8)


def test_sentence_lengths_and_padding() -> None:
    first, second = make_batches(_TINY._replace(rows=97), 2)
    assert not np.array_equal(first.source_BS, second.source_BS)
    for side in (*first, *second):
        lengths = np.count_nonzero(side != PAD, axis=1)
        assert (lengths.min(), lengths.max()) == (6, 8)
        assert np.all(side[np.arange(97), lengths - 1] == EOS)
        assert np.count_nonzero(side == EOS) == 97
        assert side.max() < 53
    assert first.tokens == np.count_nonzero(first.target_BT)


def test_matmul_flops_agree_with_a_count() -> None:
    system = System.without_corpus(Spec.from_config(ours.workload_config(_TINY)))
    counted = batch_flops(system, (_TINY.rows, _TINY.width, _TINY.width))
    # The formula takes three times the forward pass; the embedded source needs no input gradient.
    assert _TINY.matmul_flops == pytest.approx(counted, rel=0.02)


def test_overrides_are_parsed_as_json_or_text() -> None:
    overrides = ["model.dtype=bfloat16", "train.accumulate=2", "train.clip_norm=0.5", "model.heads=1"]
    config = ours.workload_config(_TINY, overrides)
    assert config["model"]["dtype"] == "bfloat16"
    assert (config["train"]["accumulate"], config["train"]["clip_norm"], config["model"]["heads"]) == (2, 0.5, 1)
    assert config["model"]["d_model"] == _TINY.d_model
    with pytest.raises(ValueError, match="headz"):
        Spec.from_config(ours.workload_config(_TINY, ["model.headz=1"]))
