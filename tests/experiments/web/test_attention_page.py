"""The attention page in a browser: it opens without a complaint, and what is hovered changes what is shown."""

import html
import json
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from experiments.web.attention_page import Sentence, Shown, attention_page
from transformer.analysis.attention_trace import Inside
from transformer.analysis.forced_decoding import Reading

SOURCE, TARGET = ["▁<un", "▁ch", "at", "</s>"], ["▁a", "▁cat", "</s>"]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def page(attention: bool = True) -> str:
    """Of a made-up pair with two heads, whose weights follow from its queries and keys."""
    generator = np.random.default_rng(0)
    query, key, value = (generator.normal(size=(rows, 2, 5)).astype(np.float32) for rows in (3, 4, 4))
    scores = np.einsum("thk,shk->hts", query, key).astype(np.float32) * 0.5
    inside = Inside(query, key, value, scores, "dot", np.full(2, 0.5, np.float32), np.ones((2, 1), np.float32), True)
    weights = {
        "encoder/0": softmax(generator.normal(size=(2, 4, 4))),
        "decoder/0": softmax(np.where(np.tril(np.ones((3, 3))), generator.normal(size=(2, 3, 3)), -1e30)),
        "cross/0": softmax(scores),
    }
    log = np.log(np.array([0.5, 0.25, 0.75], np.float32))
    best = np.log(np.array([[0.5, 0.1]] * 3, np.float32))
    reading = Reading(weights if attention else {}, log, np.zeros((3, 2), np.int32), best)
    likely = [["▁a", "▁</script>"]] * 3
    beam = [{"text": "a cat", "score": -2.0, "rank": -1.5}, {"text": "the <b>cat", "score": -3.0, "rank": -2.5}]
    shown = Shown("translation", SOURCE, TARGET, reading, likely, {"cross/0": inside} if attention else {}, True, beam)
    return attention_page("Attention & <more>", [Sentence("<un chat", [shown])])


def test_the_page_needs_nothing_beside_it() -> None:
    text = page()
    assert "http" not in re.sub(r'"[A-Za-z0-9+/=]{40,}"', "", text)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {"data:,"}
    assert "Attention &amp; &lt;more&gt;" in text
    element = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(element)["sentences"][0]["readings"][0]["likely"][0][1] == ["</script>", 0.1]


def in_browser(text: str, script: str, folder: pathlib.Path) -> str:
    """What a script leaves in the page's title, once the page has run."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    errors = "<script>window.onerror = (what) => { document.title = 'error: ' + what; };</script>"
    text = text.replace("<style>", errors + "<style>", 1)
    text = text.replace("</body>", f"<script>{{{script}}}</script></body>")
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/b"]
    done = subprocess.run([browser, *flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    return html.unescape(title)


_TOUR = """
const found = [], html = (id) => document.getElementById(id).innerHTML;
const shot = () => found.push(html("heads") + html("scores"));
const choose = (id, value) => {
  const element = document.getElementById(id);
  if (element.type === "checkbox") element.checked = value; else element.value = value;
  element.dispatchEvent(new Event("change"));
};
const words = () => [...document.querySelectorAll("#queries button")];
shot();
words()[1].dispatchEvent(new MouseEvent("mouseenter")); shot();
words()[1].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); shot();
const third = words().map((word) => word.getAttribute("aria-pressed")).join();
choose("head", 1); shot();
const drift = +document.getElementById("scores").dataset.drift;
choose("pieces", true);
const pieces = [...document.querySelectorAll("#map thead th")].map((cell) => cell.textContent).join(" ");
choose("kind", 0); const encoder = words().map((word) => word.textContent).join(" ");
choose("kind", 1); words()[0].focus();
const seen = [...document.querySelectorAll("#heads .card:first-child .hot")].map((word) => word.title).join(" ");
document.title = JSON.stringify({ different: new Set(found).size, third, drift, pieces, encoder, seen,
  hidden: document.getElementById("score-part").hidden, beam: document.querySelectorAll("#beam tbody tr").length });
"""


def test_hovering_and_keys_change_what_is_shown(tmp_path: pathlib.Path) -> None:
    found = json.loads(in_browser(page(), _TOUR, tmp_path))
    assert found["different"] == 4  # of the start, a hovered word, a key, another head
    assert found["third"] == "false,false,true"
    assert found["drift"] < 1e-5  # what the page computes from queries and keys is what the model did
    assert found["pieces"] == " <un ch at </s>"
    assert found["encoder"] == "<un ch at </s>"
    assert found["seen"] == "1.000 0.000 0.000"
    assert found["hidden"]  # of the decoder's attention nothing inside is known here
    assert found["beam"] == 2


def test_a_model_without_attention_has_a_page_too(tmp_path: pathlib.Path) -> None:
    script = (
        "document.title = [document.getElementById('looks').hidden,"
        " document.querySelectorAll('#translation button').length, document.getElementById('token').textContent];"
    )
    title = in_browser(page(attention=False), script, tmp_path)
    assert title == "true,3,instead of “a”: a 0.500</script> 0.100"
