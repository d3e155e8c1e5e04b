import json
import pathlib
import re
import sys
import time
from typing import Any

import numpy as np
import pytest

from experiments.benchmark import train, turns, works
from experiments.benchmark.peers import ours
from experiments.runs.result import shape_flops
from experiments.runs.system import System
from transformer.spec import EOS, PAD, Spec

_TINY = works.Work(d_model=12, d_ff=20, heads=3, layers=2, vocabulary=53, rows=6, width=8)
_COUNTING = turns.Peer("tests.experiments.benchmark.counting_peer")
_LOGGING = turns.Peer("tests.experiments.benchmark.logging_peer")
_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Marian's packages are for Linux")


def test_sentences_fill_most_of_the_width() -> None:
    first, second = works.batches(_TINY._replace(rows=97), 2)
    assert not np.array_equal(first.source_BS, second.source_BS)
    for side in (*first, *second):
        lengths = np.count_nonzero(side != PAD, axis=1)
        assert (lengths.min(), lengths.max()) == (6, 8)
        assert np.all(side[np.arange(97), lengths - 1] == EOS)
        assert np.count_nonzero(side == EOS) == 97
        assert side.max() < 53
    assert first.tokens == np.count_nonzero(first.target_BT)


def test_the_work_of_an_update_is_that_of_its_products() -> None:
    system = System.without_text(Spec.from_config(ours.config(_TINY)))
    counted = shape_flops(system, (_TINY.rows, _TINY.width, _TINY.width))
    # The formula takes three times the forward pass; the embedded source needs no gradient of its own products.
    assert _TINY.matmul_flops == pytest.approx(counted, rel=0.02)


def test_a_setting_is_tried_as_a_number_or_as_text() -> None:
    tried = ours.config(_TINY, ["model.dtype=bfloat16", "train.accumulate=2", "train.clip_norm=0.5", "model.heads=1"])
    assert tried["model"]["dtype"] == "bfloat16"
    assert (tried["train"]["accumulate"], tried["train"]["clip_norm"], tried["model"]["heads"]) == (2, 0.5, 1)
    assert tried["model"]["d_model"] == _TINY.d_model
    with pytest.raises(ValueError, match="headz"):
        Spec.from_config(ours.config(_TINY, ["model.headz=1"]))


def test_a_peer_is_told_and_tells(tmp_path: pathlib.Path) -> None:
    peers = {"one": _COUNTING, "broken": _COUNTING._replace(arguments=("fail",))}
    with turns.workers(peers, json.dumps(_TINY._asdict()), tmp_path, tmp_path) as running:
        assert list(running) == ["one"]
        one, said = running["one"]
        assert (said["parameters"], said["loss"], said["dtype"]) == (12, 8.0, "float32")
        assert one.turn("3")["loss"] == 4.0, "an update more than counts"
        found = one.turn("2")
        assert (found["loss"], found["peak_bytes"]) == (1.0, 8)
        assert 0.02 <= found["seconds"] < 5
    assert "a library that talks" in (tmp_path / "one.log").read_text()


def test_a_peer_that_cannot_run_is_named(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    peers = {"broken": _COUNTING._replace(arguments=("fail",))}
    with turns.workers(peers, json.dumps(_TINY._asdict()), tmp_path, tmp_path) as running:
        assert not running
    assert "broken: left out, status 1: ValueError: it is not installed" in capfd.readouterr().err


def test_a_peer_that_is_killed_at_its_work_is_named(tmp_path: pathlib.Path) -> None:
    with turns.workers({"one": _COUNTING}, json.dumps(_TINY._asdict()), tmp_path, tmp_path) as running:
        running["one"][0]._process.kill()
        with pytest.raises(turns.PeerError, match="one: status -9, killed, perhaps for want of memory"):
            turns.take(running, 2, lambda _: "1")


@_LINUX
def test_a_trainer_that_goes_on_stands_still_between_turns(tmp_path: pathlib.Path) -> None:
    # A batch is longer than what a pipe holds: it is written while it is read.
    work = _TINY._replace(rows=1009, width=37)
    with turns.workers({"logging": _LOGGING}, json.dumps(work._asdict()), tmp_path, tmp_path) as running:
        logging, said = running["logging"]
        assert (said["parameters"], said["loss"], said["versions"]) == (2 * 53, 98.5, {"pymarian": "that of pymarian"})
        time.sleep(0.5)  # for many updates, if it went on
        found = logging.turn("3")
        assert found["loss"] == 94.5, "an update more than counts"
        assert 0.2 <= found["seconds"] < 5
        assert found["peak_bytes"] > 2**20
    log = (tmp_path / "logging.log").read_text()
    begun = re.findall(r"started as (\d+)\.", log)
    assert len(begun) == 2, "the second is for the number of parameters"
    end = time.monotonic() + 5
    while any(_alive(int(number)) for number in begun):
        assert time.monotonic() < end, "a trainer outlives its worker"
        time.sleep(0.05)


def _alive(number: int) -> bool:
    status = pathlib.Path(f"/proc/{number}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@_LINUX
@pytest.mark.parametrize(
    ("arguments", "changes", "said"),
    [
        (("skip",), {}, "RuntimeError: batch 0 has 40 target tokens, Marian's 41"),
        ((), {"heads": 5}, "RuntimeError: Marian ended with status 1: [now] Error: Aborted, heads do not fit"),
        ((), {"dtype": "bfloat16"}, "ValueError: Marian has no bfloat16"),
    ],
)
def test_a_trainer_that_does_not_do_the_work_is_left_out(
    arguments: tuple[str, ...],
    changes: dict[str, Any],
    said: str,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    peers = {"logging": _LOGGING._replace(arguments=arguments)}
    with turns.workers(peers, json.dumps(_TINY._replace(**changes)._asdict()), tmp_path, tmp_path) as running:
        assert not running
    assert f"logging: left out, status 1: {said}" in capfd.readouterr().err


def _found(name: str, parameters: int = 1000, last: float = 5.0, device: str = "cpu") -> dict[str, Any]:
    return {"peer": name, "device": device, "parameters": parameters, "loss": [9.0, last]}


def test_what_is_not_the_same_is_found() -> None:
    assert train.differences([_found("ours"), _found("b", 1009, 5.7), _found("c", 991, 4.3)]) == []
    faults = train.differences([_found("ours"), _found("b", 1011), _found("c", last=4.1), _found("d", last=9.5)])
    assert [fault.split(" ")[0] for fault in faults] == ["b", "the", "the"]
    assert "+1.1 %" in faults[0]
    assert train.differences([_found("ours", last=9.5), _found("b", last=9.5)])
    elsewhere = [_found("ours", device="GPU"), _found("b", device="cpu"), _found("c", device="GPU of another name")]
    assert train.differences(elsewhere) == ["b runs on cpu, ours on GPU"]


def test_ratios_are_of_the_same_round() -> None:
    # The machine was half as fast in the second of three rounds.
    assert turns.ratio([3.0, 6.0, 3.0], [2.0, 4.0, 2.0]) == 1.5
    assert turns.quartiles([5.0]) == (5.0, 5.0, 5.0)
    assert turns.quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


@pytest.mark.slow
def test_libraries_train_alike(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    peers = {name: train.PEERS[name] for name in ("ours", "pytorch", "hugging-face")}
    found = train.compare(_TINY._replace(d_model=32, heads=2, rows=16), peers, 3, 5, str(tmp_path))
    assert [each["peer"] for each in found] == list(peers)
    assert train.differences([each | {"parameters": 1} for each in found]) == []
    assert found[0]["ours_is_faster"] == 1.0
    assert len(train.table("TINY", found).splitlines()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eole", "joeynmt", "marian", "flax-wmt"])
def test_a_library_in_an_environment_of_its_own_trains_alike(name: str) -> None:
    environments = turns.ROOT / ".venv-peers"
    if not (environments / train.PEERS[name].environment).exists():
        pytest.skip(f"{name} is not installed")
    peers = {each: train.PEERS[each] for each in ("ours", name)}
    # Of a few words, the first loss depends more on the seed than on anything else.
    work = _TINY._replace(d_model=64, heads=2, vocabulary=997, rows=64)
    found = train.compare(work, peers, 3, 5, str(environments))
    assert [each["peer"] for each in found] == list(peers)
    assert train.differences(found) == []
