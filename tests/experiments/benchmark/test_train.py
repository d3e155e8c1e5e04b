import pathlib
from typing import Any

import pytest

from experiments.benchmark import train, turns
from experiments.benchmark.libraries import TRAINING_PEERS
from experiments.benchmark.workloads import Workload

_TINY = Workload(d_model=12, d_ff=20, heads=3, layers=2, vocabulary=53, rows=6, width=8)


def _result(name: str, parameters: int = 1000, last: float = 5.0, device: str = "cpu") -> dict[str, Any]:
    return {"peer": name, "device": device, "parameters": parameters, "loss": [9.0, last]}


def test_differences_between_peers_are_reported() -> None:
    assert train.differences([_result("ours"), _result("b", 1009, 5.7), _result("c", 991, 4.3)]) == []
    faults = train.differences([_result("ours"), _result("b", 1011), _result("c", last=4.1), _result("d", last=9.5)])
    assert [fault.split(" ")[0] for fault in faults] == ["b", "the", "the"]
    assert "+1.1 %" in faults[0]
    assert train.differences([_result("ours", last=9.5), _result("b", last=9.5)])
    devices = [_result("ours", device="GPU"), _result("b", device="cpu"), _result("c", device="GPU of another name")]
    assert train.differences(devices) == ["b runs on cpu, ours on GPU"]


@pytest.mark.slow
def test_libraries_train_the_same_model(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    peers = {name: TRAINING_PEERS[name] for name in ("ours", "pytorch", "hugging-face")}
    measurements = train.compare(_TINY._replace(d_model=32, heads=2, rows=16), peers, 3, 5, str(tmp_path))
    assert [measurement["peer"] for measurement in measurements] == list(peers)
    assert train.differences([measurement | {"parameters": 1} for measurement in measurements]) == []
    assert measurements[0]["ours_is_faster"] == 1.0
    assert len(train.table("TINY", measurements).splitlines()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eole", "joeynmt", "marian", "flax-wmt"])
def test_a_library_in_its_own_environment_trains_the_same_model(name: str) -> None:
    environments = turns.ROOT / ".venv-peers"
    if not (environments / TRAINING_PEERS[name].environment).exists():
        pytest.skip(f"{name} is not installed")
    peers = {peer: TRAINING_PEERS[peer] for peer in ("ours", name)}
    # With a small vocabulary, the first loss depends mostly on the seed.
    workload = _TINY._replace(d_model=64, heads=2, vocabulary=997, rows=64)
    measurements = train.compare(workload, peers, 3, 5, str(environments))
    assert [measurement["peer"] for measurement in measurements] == list(peers)
    assert train.differences(measurements) == []
