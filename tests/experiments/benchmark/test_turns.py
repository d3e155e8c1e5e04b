import json
import pathlib

import pytest

from experiments.benchmark import turns
from experiments.benchmark.workloads import Workload

_TINY = Workload(d_model=12, d_ff=20, heads=3, layers=2, vocabulary=53, rows=6, width=8)
_COUNTING = turns.Peer("tests.experiments.benchmark.peers.counting_peer")


def test_a_peer_describes_itself_and_takes_turns(tmp_path: pathlib.Path) -> None:
    peers = {"one": _COUNTING, "broken": _COUNTING._replace(arguments=("fail",))}
    with turns.start_peers(peers, json.dumps(_TINY._asdict()), tmp_path, tmp_path) as running:
        assert list(running) == ["one"]
        one, description = running["one"]
        assert (description["parameters"], description["loss"], description["dtype"]) == (12, 8.0, "float32")
        assert one.request("3")["loss"] == 4.0, "one more update, which is not timed"
        result = one.request("2")
        assert (result["loss"], result["peak_bytes"]) == (1.0, 8)
        assert 0.02 <= result["seconds"] < 5
    assert "output of a library" in (tmp_path / "one.log").read_text()


def test_a_peer_that_cannot_run_is_left_out(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    peers = {"broken": _COUNTING._replace(arguments=("fail",))}
    with turns.start_peers(peers, json.dumps(_TINY._asdict()), tmp_path, tmp_path) as running:
        assert not running
    assert "broken: left out, status 1: ValueError: the library is not installed" in capfd.readouterr().err


def test_a_peer_that_is_killed_is_named(tmp_path: pathlib.Path) -> None:
    with turns.start_peers({"one": _COUNTING}, json.dumps(_TINY._asdict()), tmp_path, tmp_path) as running:
        running["one"][0]._process.kill()
        with pytest.raises(turns.PeerError, match="one: status -9, killed, perhaps out of memory"):
            turns.take_turns(running, 2, lambda _: "1")


def test_ratios_compare_turns_of_one_round() -> None:
    # The machine was half as fast in the second of three rounds.
    assert turns.speed_ratio([3.0, 6.0, 3.0], [2.0, 4.0, 2.0]) == 1.5
    assert turns.quartiles([5.0]) == (5.0, 5.0, 5.0)
    assert turns.quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
