"""The server over real connections: responses equal those of translation, and an error is one line."""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import math
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

fastapi = pytest.importorskip("fastapi", reason="needs the extra `serve`")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `serve`")

from fastapi import Request  # noqa: E402
from fastapi.responses import HTMLResponse  # noqa: E402

from experiments.runs.loading import TrainedSystem  # noqa: E402
from experiments.runs.system import System  # noqa: E402
from experiments.serving import api, connections, programs, schema  # noqa: E402
from experiments.serving.api import create_app  # noqa: E402
from experiments.serving.connections import LimitedProtocol  # noqa: E402
from experiments.serving.engine import Engine  # noqa: E402
from experiments.serving.examples import Examples  # noqa: E402
from experiments.serving.programs import Programs  # noqa: E402
from experiments.serving.service import Service  # noqa: E402
from transformer.analysis.attribution import METHODS  # noqa: E402
from transformer.data.pairs import Pair  # noqa: E402
from transformer.data.sources.text_files import read_lines  # noqa: E402
from transformer.data.tokenizers.sentencepiece import Tokenizer  # noqa: E402
from transformer.spec import Spec  # noqa: E402

TEXT = "Un deux trois."
ORIGIN = "https://example.org"
EXAMPLE = Pair("Deux <trois>.", "Two & <three>.")


class Served(NamedTuple):
    """A server in this process and its model."""

    port: int
    system: System
    params: Any
    app: Any
    programs: Programs

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Returns status and JSON of a request; `body` may be bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            method = "GET" if body is None else "POST"
            connection.request(method, path, data, {"content-type": "application/json"} | headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def page(self, path: str) -> str:
        """Returns a page; asserts its security headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            assert "default-src 'none'" in str(response.getheader("content-security-policy"))
            return response.read().decode()

    def lines(self, body: Any) -> list[Any]:
        """Returns the lines of a stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/translate/stream", json.dumps(body), {"content-type": "application/json"})
        lines = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        connection.close()
        return lines

    def expected(self, texts: list[str], n_best: int = 1, **changes: Any) -> list[list[str]]:
        """Returns the texts' translations by `experiments.translate`."""
        decode = dataclasses.replace(self.system.spec.decode, **changes)
        translations = self.system.translator(self.params, decode).translate(texts, n_best)
        return [[translation.text for translation in best] for best in translations]


@pytest.fixture(scope="module")
def served(small, corpus: pathlib.Path) -> Iterator[Served]:
    """Serves an untrained model: its outputs are long."""
    spec = Spec.from_config(small())
    lines = [
        line for language in ("fr", "en") for line in read_lines(str(corpus).format(split="train", language=language))
    ]
    system = System.make(spec, Tokenizer.train_from_texts(lines, spec.data.vocab_size, spec.data.tokenizer))
    params = system.put_params(system.initial_params)
    compiled = Programs(TrainedSystem(system, params, [[0]]), batch_size=4)
    engine = Engine(compiled, 11)
    guard = create_app(Service("a <run>", compiled, engine, 11, Examples("validation", [EXAMPLE])), origins=[ORIGIN])
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(guard, http=LimitedProtocol, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield Served(listening.getsockname()[1], system, params, guard.app.app, compiled)
    server.should_exit = True
    thread.join()
    engine.close()
    listening.close()


def test_single_and_batched_responses_equal_translation(served: Served) -> None:
    texts = [TEXT, "Sept.", "Deux deux six.", "Un."]
    expected = served.expected(texts, 2)
    with concurrent.futures.ThreadPoolExecutor(len(texts)) as pool:
        responses = list(pool.map(lambda text: served.ask("/translate", {"text": text, "n_best": 2}), texts))
    assert [[translation["text"] for translation in response["translations"]] for _, response in responses] == expected
    assert {status for status, _ in responses} == {200}
    status, joined = served.ask("/translate", {"text": f"{TEXT}\n \nSept."})
    assert (status, joined["text"]) == (200, f"{expected[0][0]}\n\n{expected[1][0]}")
    assert [part["line"] for part in joined["parts"]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("request_fields", "changes"),
    [
        ({}, {}),
        pytest.param(
            {"method": "sample", "temperature": 0.7, "seed": 3},
            {"method": "sample", "temperature": 0.7, "seed": 3},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"method": "sample", "top_p": 0.8, "seed": 5},
            {"method": "sample", "top_p": 0.8, "seed": 5},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["beam", "sample", "top_p"],
)
def test_stream_grows_and_ends_with_the_translation(served: Served, request_fields: Any, changes: Any) -> None:
    lines = served.lines({"text": TEXT} | request_fields)
    texts = [line["text"] for line in lines if "text" in line]
    assert len(set(texts)) > 2
    assert len(texts[0]) < len(texts[-1])
    assert [[lines[-1]["end"]["text"]]] == served.expected([TEXT], **changes)
    assert lines[-2]["done"]["translations"][0]["text"] == lines[-1]["end"]["text"]


def test_long_line_is_translated_in_parts_with_a_warning(served: Served) -> None:
    line = "Un deux trois. Quatre cinq."
    status, response = served.ask("/translate", {"text": line})
    sources = [part["source"] for part in response["parts"]]
    assert (status, sources) == (200, ["Un deux trois.", "Quatre cinq."])
    assert response["text"] == " ".join(best for (best,) in served.expected(sources))
    assert response["warnings"] == [
        "line 1 is longer than the 22 tokens that the model was trained on: it is translated in 2 parts"
    ]


def test_unknown_characters_are_replaced_copied_or_named(served: Served) -> None:
    plain = served.ask("/translate", {"text": "Un deux."})[1]["text"]
    _, response = served.ask("/translate", {"text": "\ufeffUn\u00a0deux.\n漢字 \u00a0!\n\u200b\nUn 漢."})
    lines = response["text"].split("\n")
    assert lines[:3] == [plain, "漢字 \u00a0!", ""]
    assert [lines[3]] == served.expected(["Un 漢."])[0]
    assert [part["source"] for part in response["parts"]] == ["Un deux.", "漢字 \u00a0!", "", "Un 漢."]
    assert [warning.partition(";")[0] for warning in response["warnings"]] == [
        "line 2: the vocabulary lacks 漢 (U+6F22), 字 (U+5B57), ! (U+0021)",
        "line 4: the vocabulary lacks 漢 (U+6F22)",
    ]
    status, error = served.ask("/attention", {"text": "漢字"})
    assert (status, error["error"]) == (422, "text: it has no word that the vocabulary covers")
    pieces = [
        served.ask("/attention", {"text": text, "target": text})[1]["target"]["pieces"]
        for text in ("Un deux.", "Un\u00a0deux.")
    ]
    assert pieces[0] == pieces[1]


def test_attention_of_a_translation(served: Served) -> None:
    _, response = served.ask("/translate", {"text": TEXT})
    tokens = response["parts"][0]["translations"][0]["tokens"]
    status, attention = served.ask("/attention", {"text": TEXT, "tokens": tokens})
    assert status == 200
    assert attention == served.ask("/attention", {"text": TEXT})[1]
    assert [trace["name"] for trace in attention["attention"]] == ["encoder/0", "decoder/0", "cross/0"]
    (cross,) = (trace["weights"] for trace in attention["attention"] if trace["name"] == "cross/0")
    assert len(cross) == 3
    assert {len(rows) for rows in cross} == {len(tokens)} == {len(attention["target"]["pieces"])}
    assert all(sum(row) == pytest.approx(1, abs=0.01) for rows in cross for row in rows)
    assert len(cross[0][0]) == len(attention["source"]["pieces"])
    assert attention["source"]["words"][-1][2] == "</s>"
    for probability, alternatives in zip(attention["probability"], attention["alternatives"], strict=True):
        assert probability <= alternatives[0]["probability"] + 1e-4
        assert len(alternatives) == 5


def test_explanation_of_a_token(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.programs, "measures", ["input × gradient", "logit lens"])
    _, attention = served.ask("/attention", {"text": TEXT})
    second = attention["alternatives"][2][1]
    status, explained = served.ask("/explain", {"text": TEXT, "position": 2, "other": second["token"]})
    assert (status, explained["position"], explained["other"], explained["parts"]) == (200, 2, second["piece"], [])
    log_odds = math.log(attention["probability"][2] / second["probability"])
    assert explained["score"] == pytest.approx(log_odds, rel=0.02, abs=0.02)
    (only,) = explained["attribution"]
    assert (only["method"], len(only["prefix"])) == ("input × gradient", 3)
    assert len(only["source"]) == len(attention["source"]["pieces"])
    assert any(only["source"])
    assert [point["name"] for point in explained["lens"]] == ["embeddings", "layer 1"]
    last = explained["lens"][-1]
    assert last["probability"] == pytest.approx(attention["probability"][2], abs=2e-4)
    assert last["top"][0]["piece"] == attention["alternatives"][2][0]["piece"]


@pytest.mark.slow
def test_explanation_has_all_measures_of_the_model(served: Served) -> None:
    _, explained = served.ask("/explain", {"text": TEXT, "target": "One.", "position": 0})
    assert [each["method"] for each in explained["attribution"]] == list(METHODS)
    assert sum(sum(part["effects"]) for part in explained["parts"]) == pytest.approx(explained["score"], abs=5e-3)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"position": 99}, r"position: 99 is not in \[0, \d+\)"),
        ({"position": -1}, "position: Input should be greater than or equal to 0"),
        ({}, "position: Field required"),
        ({"position": 0, "other": 0}, r"other: 0 is not one of (\d+, )+\d+, the most probable"),
        ({"position": 0, "text": "a\nb"}, r"text: one line of 1 to 22 tokens is needed"),
    ],
)
def test_what_is_not_explained(served: Served, fields: dict[str, Any], error: str) -> None:
    status, answer = served.ask("/explain", {"text": TEXT, "target": "One.", **fields})
    assert status == 422
    assert re.fullmatch(error, answer["error"])


def test_an_ensemble_and_a_long_pair_are_not_explained(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MAX_EXPLAINED_TOKENS", 3)
    status, answer = served.ask("/explain", {"text": TEXT, "target": "One.", "position": 0})
    assert status == 422
    assert re.fullmatch(r"text: it or its translation has \d+ tokens; at most 3 are explained", answer["error"])
    monkeypatch.setattr(served.programs, "measures", [])
    answer = served.ask("/explain", {"text": TEXT, "target": "One.", "position": 0})
    assert answer == (422, {"error": "an ensemble is not explained; serve one of its runs"})


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/translate", {"text": 5}, 422, "text: Input should be a valid string"),
        ("/translate", {"text": "a" * 2001}, 422, "text: String should have at most 2000 characters"),
        ("/translate", {"text": "a", "beam_size": 99}, 422, "beam_size: Input should be less than or equal to 16"),
        ("/translate", {"text": "a", "n_best": 3}, 422, "n_best: 3 is more than beam_size=2"),
        ("/translate/stream", {"text": "a", "n_best": 3}, 422, "n_best: 3 is more than beam_size=2"),
        ("/translate", {"text": "a", "file": "x"}, 422, "file: Extra inputs are not permitted"),
        ("/translate", b'{"text": "\\ud800"}', 422, "text: Input should be a valid string, unable to parse"),
        ("/translate", b'{"text": "a", "top_p": NaN}', 422, "top_p: Input should be a finite number"),
        ("/translate", b'{"text', 422, "body: JSON decode error"),
        ("/translate", b"[" * 9999, 400, "There was an error parsing the body"),
        ("/translate", {"text": "é" * 9999}, 413, "the body has more than 32768 bytes"),
        ("/translate", {"text": "a\n" * 40}, 422, "text: 41 lines, or parts of long lines, are more than 32"),
        ("/translate", {"text": "un\n" * 12}, 503, "too many texts are waiting"),
        ("/translate", None, 405, "Method Not Allowed"),
        ("/attention", {"text": " "}, 422, "text: one line of 1 to 22 tokens is needed"),
        ("/attention", {"text": "un", "tokens": [43]}, 422, "tokens: 43 is not in [3, 43)"),
        ("/attention", {"text": "un", "tokens": [2]}, 422, "the translation has 0 tokens, not 1 to 27"),
        ("/../../etc/passwd", None, 404, "Not Found"),
    ],
)
def test_an_error_is_one_line(served: Served, path: str, body: Any, status: int, error: str) -> None:
    response = served.ask(path, body)
    assert response[0] == status
    assert list(response[1]) == ["error"]
    assert response[1]["error"].startswith(error)


def test_body_of_unknown_length_is_limited(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        head = b"POST /translate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"9000\r\n" + b"a" * 0x9000 + b"\r\n")
        assert connection.recv(99).startswith(b"HTTP/1.1 413")


_watching: list[list[str]] = []


def test_a_body_has_one_time_limit(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not extend it."""
    monkeypatch.setattr(api, "_BODY_TIMEOUT", 0.5)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        head = "POST /translate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        client.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        start = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - start < 5:
                client.sendall(b"1\r\n \r\n")
                client.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    if client.recv(9999).startswith(b"HTTP/1.1 408"):
                        break
        assert 0.3 < time.monotonic() - start < 3


def test_silent_connections_keep_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest one is closed for a new one, and each is closed after some seconds; slow headers are no exception."""
    monkeypatch.setattr(LimitedProtocol, "max_connections", 13)
    monkeypatch.setattr(connections, "HEADER_TIMEOUT", 1.0)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10)) for _ in range(40)
        ]
        assert served.ask("/health")[0] == 200
        with contextlib.suppress(OSError):
            for _ in range(5):
                silent[-1].sendall(b"GET / HTTP/1.1\r\nx: ")
                time.sleep(0.1)
        start = time.monotonic()
        for client in silent:
            with contextlib.suppress(ConnectionError):
                assert client.recv(9) == b""
        assert time.monotonic() - start < 3
    deadline = time.monotonic() + 5
    while LimitedProtocol._connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not LimitedProtocol._connections
    assert not LimitedProtocol._idle


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "attacker.example"}, 421),
        ({"host": "attacker.example:8000"}, 421),
        ({"host": "localhost.attacker.example"}, 421),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "192.0.2.7"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_pages_of_other_sites_cannot_send_requests(served: Served, headers: dict[str, str], status: int) -> None:
    assert served.ask("/translate", {"text": "un"}, **headers)[0] == status


@pytest.mark.slow
def test_programs_of_other_settings_are_few(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_PROGRAMS", 2)
    for beam_size in (1, 3, 4, 1):
        status, _ = served.ask("/translate", {"text": "un", "beam_size": beam_size})
        assert status == 200
        assert len(served.programs._programs) <= 2


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event == "open":
        _watching[-1].append(str(arguments[0]))


def test_no_request_opens_a_file(served: Served) -> None:
    requests = [
        ("/translate", {"text": "../../etc/passwd"}),
        ("/attention", {"text": "/etc/passwd"}),
        ("/health", None),
        ("/%2e%2e/%2e%2e/etc/passwd", None),
        ("/translate", {"text": 5}),
    ]
    for path, body in requests:  # the first time imports and compiles
        served.ask(path, body)
    sys.addaudithook(_hook)
    _watching.append([])
    try:
        for path, body in requests:
            served.ask(path, body)
        pathlib.Path(__file__).open(encoding="utf-8").close()
    finally:
        opened = _watching.pop()
    assert opened == [__file__]


def test_health_and_pages(served: Served) -> None:
    status, health = served.ask("/health")
    assert status == 200
    assert health["status"] == "ok"
    assert (health["direction"], health["max_tokens"], health["places"]) == ("fr-en", 22, 11)
    described = served.ask("/openapi.json")[1]["paths"]
    assert {"/translate", "/translate/stream", "/attention", "/explain", "/health"} == described.keys()
    for path, words in (
        ("/", ["a &lt;run&gt;", "<textarea", "from the validation split", "Deux &lt;trois&gt;.", r"& \u003cthree>"]),
        ("/docs", ["POST /attention", "length_penalty", f"curl http://127.0.0.1:{served.port}/translate"]),
    ):
        page = served.page(path)
        assert [word for word in words if word not in page] == []
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


@pytest.mark.slow
def test_translator_page_in_a_browser(served: Served, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types, hovers, uses keys, clicks an example, samples and makes errors, in a window of a phone's size."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed")
    tour = (pathlib.Path(__file__).parent / "translator_tour.js").read_text(encoding="utf-8")
    page = served.page("/").replace("</script>\n</body>", f"</script><script>{{{tour}}}</script>\n</body>")
    reports: queue.Queue[Any] = queue.Queue()

    async def show() -> HTMLResponse:
        return HTMLResponse(page)

    async def report(request: Request) -> None:
        reports.put(await request.json())

    served.app.add_api_route("/tour", show)
    served.app.add_api_route("/report", report, methods=["POST"])
    monkeypatch.setattr(served.programs, "measures", ["input × gradient"])
    best, sampled = served.expected([TEXT])[0][0], served.expected([TEXT], method="sample")[0][0]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path}/b"]
    # With a debugging port the browser runs until it is terminated; otherwise it stops when the page has loaded.
    flags += ["--window-size=390,844", "--remote-debugging-port=0", f"http://127.0.0.1:{served.port}/tour"]
    with subprocess.Popen([browser, *flags], stderr=subprocess.PIPE, text=True) as process:
        try:
            found = reports.get(timeout=180)
        finally:
            process.terminate()
            _, log = process.communicate(timeout=60)
    # The browser itself logs that a response had the status 422.
    assert [line for line in log.splitlines() if "CONSOLE" in line and "422" not in line] == []
    assert isinstance(found, dict), found
    assert (found["beam"], found["newest"], found["sample"]) == (best, best, sampled)
    assert found["searches"] == 1
    assert found["outputs"] > 2
    assert (found["hypotheses"], found["heading"]) == (2, True)
    assert sum(found["first"]) == pytest.approx(1, abs=0.02) == pytest.approx(sum(found["second"]), abs=0.02)
    assert found["first"] != found["second"]
    assert re.fullmatch(r"(“.+?” 0\.\d{3} instead of (.+? 0\.\d{3})+)+", found["alternatives"])
    assert found["fromSource"]
    piece, question, contribution = found["why"]
    assert question.startswith(f"Why “{piece}” rather than ")
    assert re.fullmatch(r".+?(\+|−)?\d+\.\d\d", contribution)
    assert (found["word"], found["moved"]) == ("Un", True)
    assert (found["right"], found["up"] >= 0, found["tabStops"]) == (1, True, [1, 1])
    assert (found["example"], found["text"]) == (EXAMPLE.source, EXAMPLE.source)
    assert found["reference"] == f"Reference: {EXAMPLE.target}"
    assert found["enter"] == served.expected(["Sept."])[0][0]
    assert found["cancelled"] == [True, False]
    assert found["sources"] == ["Sept. </s>", "Un deux trois. </s>"]
    assert found["fields"] == [True, False]
    assert found["tooLong"] == ["The text has 2,001 characters; at most 2,000 are possible.", ""]
    assert (found["invalid"], found["nextToText"]) == ("true", True)
    assert found["tooManyLines"] == ["41 lines, or parts of long lines, are more than 32", ""]
    assert found["beamSize"] == ["", "Beam size must be a whole number from 1 to 16."]
    assert found["open"]
    assert (found["cleared"], found["alerts"]) == (["", ""], 0)
    assert found["overflow"] == 0
    assert min(found["fontSizes"]) >= 16


@pytest.mark.slow
def test_two_hundred_clients(served: Served) -> None:
    """More clients than queue places: excess requests are refused at once, all others get a response."""
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        responses = list(pool.map(lambda _: served.ask("/translate", {"text": TEXT}), range(400)))
    assert {status for status, _ in responses} <= {200, 503}
    texts = {response["text"] for status, response in responses if status == 200}
    assert texts == set(served.expected([TEXT])[0])
    assert sum(status == 200 for status, _ in responses) > 11
    assert time.monotonic() - start < 120
    assert served.ask("/health")[1]["waiting"] == 0


@pytest.mark.parametrize("path", ["/", "/docs", "/health"])
def test_head_has_the_headers_of_get_and_no_body(served: Served, path: str) -> None:
    answers = []
    for method in ("GET", "HEAD"):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            answers.append((response.status, response.getheader("content-type"), bool(response.read())))
    assert answers == [(200, answers[0][1], True), (200, answers[0][1], False)]


def test_only_pages_of_the_named_origin_read_responses(served: Served) -> None:
    def answer(method: str, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        with contextlib.closing(connection):
            body = json.dumps({"text": "Un."}) if method == "POST" else None
            connection.request(method, path, body, headers | {"content-type": "application/json"})
            return connection.getresponse()

    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    allowed = answer("OPTIONS", "/translate", origin=ORIGIN, **asked)
    assert (allowed.status, allowed.getheader("access-control-allow-origin")) == (200, ORIGIN)
    refused = answer("OPTIONS", "/translate", origin="https://example.com", **asked)
    assert (refused.status, refused.getheader("access-control-allow-origin")) == (400, None)
    for path, method in (("/health", "GET"), ("/translate", "POST"), ("/none", "GET")):
        assert answer(method, path, origin=ORIGIN).getheader("access-control-allow-origin") == ORIGIN
        assert answer(method, path, origin="https://example.com").getheader("access-control-allow-origin") is None
