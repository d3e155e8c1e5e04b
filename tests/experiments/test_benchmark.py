from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmark import batch_plan, devices, generated, reading
from experiments.child import result_of
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


@pytest.mark.slow
def test_devices_that_share_lose_what_one_loses(small: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    found = []
    for count, changes in ((1, {}), (4, {"mode": "pmap"}), (4, {"fsdp": 2, "tensor": 2})):
        config = small(data__examine="off", model__d_model=24)
        config["parallel"] |= changes
        found.append(
            {"devices": count, "way": "a way", "off": 0.0} | result_of(devices.measure, config, count, 5, str(tmp_path))
        )
    for each in found[1:]:
        assert each["losses"] == pytest.approx(found[0]["losses"], rel=1e-5)
    assert found[2]["parameter_bytes_a_device"] < 0.4 * found[0]["parameter_bytes_a_device"]
    assert len(devices.table(found).splitlines()) == 2 + len(found)
