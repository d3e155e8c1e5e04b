import pathlib

import pytest

from experiments.benchmark import data_loading
from experiments.runtime import subprocesses
from transformer.data.prepared import PreparedFolder


def test_a_generated_corpus_is_written_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_loading, "_SHARD_PAIRS", 499)
    data_loading.generate_corpus(str(tmp_path), 2003)
    pairs = PreparedFolder(tmp_path).pairs("en-fr")
    assert len(pairs) == 2003
    assert 20 < pairs.source.lengths.mean() < 40
    assert max(side.lengths.max() for side in (pairs.source, pairs.target)) <= data_loading.MAX_LENGTH
    monkeypatch.setattr(data_loading, "_random_pairs", None)
    data_loading.generate_corpus(str(tmp_path), 2003)


def test_plan_and_reading_are_measured(tmp_path: pathlib.Path) -> None:
    data_loading.generate_corpus(str(tmp_path), 2003)
    # In another process: the peak of this one holds what earlier tests needed.
    plan = subprocesses.call(data_loading.measure_plan, str(tmp_path), 1009, 3, 7)
    assert plan["batch"] > 7 * 2003 * 20 / 1009
    assert 0 < plan["imports_gib"] <= plan["peak_gib_of_plan"] <= plan["peak_gib"] < 4
    assert 0 < plan["seconds_to_shapes"] < plan["seconds_to_batch"]
    reading = data_loading.measure_reading(str(tmp_path), 1009, 8, 5)
    for speeds in (reading["cold"], reading["warm"]):
        assert speeds["batches"] == 5
        assert 0.5 < speeds["tokens_per_second"] / speeds["cells_per_second"] <= 1
