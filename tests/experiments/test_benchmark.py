from experiments.benchmark import batch_plan, generated, reading
from transformer.data.prepared import Prepared


def test_a_generated_corpus_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "_SHARD", 499)
    generated.make(tmp_path, 2003)
    pairs = Prepared(tmp_path).pairs("en-fr")
    assert len(pairs) == 2003
    assert 20 < pairs.source.lengths.mean() < 40
    assert max(side.lengths.max() for side in (pairs.source, pairs.target)) <= generated.LONGEST
    monkeypatch.setattr(generated, "_drawn", None)
    generated.make(tmp_path, 2003)


def test_plan_and_reading_are_measured(tmp_path):
    generated.make(tmp_path, 2003)
    found = batch_plan.measure(str(tmp_path), 1009, 3, epoch=7)
    assert found["batch"] > 7 * 2003 * 20 / 1009
    assert 0 < found["imports_gib"] <= found["peak_gib_of_plan"] <= found["peak_gib"] < 4
    assert 0 < found["seconds_to_shapes"] < found["seconds_to_batch"]
    read = reading.measure(str(tmp_path), 1009, 5)
    for way in (read["cold"], read["warm"]):
        assert way["batches"] == 5
        # Tokens are the full ones of the cells.
        assert 0.5 < way["tokens_per_second"] / way["cells_per_second"] <= 1
