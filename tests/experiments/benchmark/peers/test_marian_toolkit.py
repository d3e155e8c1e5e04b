import json
import pathlib
import re
import sys
import time
from typing import Any

import pytest

from experiments.benchmark import turns
from experiments.benchmark.workloads import Workload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Marian's packages are for Linux")

_TINY = Workload(d_model=12, d_ff=20, heads=3, layers=2, vocabulary=53, rows=6, width=8)
_LOGGING = turns.Peer("tests.experiments.benchmark.peers.logging_peer")


def test_a_continuous_trainer_is_stopped_between_turns(tmp_path: pathlib.Path) -> None:
    # A batch is larger than the buffer of a pipe: it is written while it is read.
    workload = _TINY._replace(rows=1009, width=37)
    with turns.start_peers({"logging": _LOGGING}, json.dumps(workload._asdict()), tmp_path, tmp_path) as running:
        logging, description = running["logging"]
        assert (description["parameters"], description["loss"]) == (2 * 53, 98.5)
        assert description["versions"] == {"pymarian": "version of pymarian"}
        time.sleep(0.5)  # enough for many updates, if it were not stopped
        result = logging.request("3")
        assert result["loss"] == 94.5, "one more update, which is not timed"
        assert 0.2 <= result["seconds"] < 5
        assert result["peak_bytes"] > 2**20
    log = (tmp_path / "logging.log").read_text()
    pids = re.findall(r"started as (\d+)\.", log)
    assert len(pids) == 2, "the second one writes the parameters"
    end = time.monotonic() + 5
    while any(_alive(int(pid)) for pid in pids):
        assert time.monotonic() < end, "a trainer outlives its peer"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    status = pathlib.Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (("skip",), {}, "RuntimeError: batch 0 has 40 target tokens, Marian's 41"),
        ((), {"heads": 5}, "RuntimeError: Marian exited with status 1: [now] Error: Aborted, heads do not fit"),
        ((), {"dtype": "bfloat16"}, "ValueError: Marian does not support bfloat16"),
    ],
)
def test_a_trainer_with_another_workload_is_left_out(
    arguments: tuple[str, ...],
    changes: dict[str, Any],
    message: str,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    peers = {"logging": _LOGGING._replace(arguments=arguments)}
    with turns.start_peers(peers, json.dumps(_TINY._replace(**changes)._asdict()), tmp_path, tmp_path) as running:
        assert not running
    assert f"logging: left out, status 1: {message}" in capfd.readouterr().err
