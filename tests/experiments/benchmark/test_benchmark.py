import http.server
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from experiments.benchmark import batch_plan, devices, generated, population, reading, serve_load
from experiments.benchmark.works import Work
from experiments.runtime.subprocesses import result_of
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


class _Server(http.server.BaseHTTPRequestHandler):
    """Refuses the third request, fails at the fifth, and answers the others after a while."""

    seen: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append(json.loads(body)["text"])
        status = {3: 503, 5: 200}.get(len(self.seen), 200)
        text = b'{"text": ""}' if status == 200 and len(self.seen) != 5 else b"{}"
        time.sleep(0.02)
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None: ...


def test_what_a_load_finds_is_counted() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever).start()
    found = serve_load.load(("127.0.0.1", server.server_port), clients=1, requests=7, seconds=60)
    assert (found["requests"], found["answered"], found["refused"], found["errors"]) == (7, 5, 1, 1)
    assert found["statuses"] == {"200": 5, "503": 1, "ValueError": 1}
    assert 0.02 < found["p50_seconds"] <= found["p95_seconds"] <= found["max_seconds"] < found["wall_seconds"]
    assert _Server.seen == [serve_load.sentence(number) for number in range(7)]
    assert serve_load.load(("127.0.0.1", server.server_port), 2, 7, seconds=-1)["requests"] == 0
    server.shutdown()
    server.server_close()
    everywhere = serve_load.load(("127.0.0.1", server.server_port), 3, 2, seconds=60)
    assert everywhere["statuses"] == {"ConnectionRefusedError": 6}
    assert everywhere["p95_seconds"] is None


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "https://127.0.0.1:8000", "nonsense://"])
def test_a_load_is_for_this_machine_alone(url: str) -> None:
    with pytest.raises(ValueError, match=r"--url=.*(on this machine|not known)"):
        serve_load._loopback(url)
    assert serve_load._loopback("http://127.0.0.1:8000/") == ("127.0.0.1", 8000)


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


@pytest.mark.slow
def test_members_lose_what_one_loses() -> None:
    work = Work(12, 17, 3, 1, 43, rows=5, width=7)
    found = {count: [result_of(population.measure, work, count, 5)] for count in (1, 3)}
    ((one,), (three,)) = found.values()
    assert three["losses"][0] == pytest.approx(one["losses"][0], rel=1e-5)
    assert len(set(three["losses"])) == 3, "members see batches of their own"
    assert len(population.table(found).splitlines()) == 2 + len(found)
