"""The attention page in a browser: it opens without errors, and hovering changes its content."""

import html
import json
import pathlib
import re
import shutil
import subprocess
from collections.abc import Mapping

import numpy as np
import pytest

from experiments.web.attention_page import AnalyzedPair, AnalyzedSentence, attention_page
from transformer.analysis.attention_trace import AttentionTrace
from transformer.analysis.forced_decoding import PairOutputs

SOURCE, TARGET = ["▁<un", "▁ch", "at", "</s>"], ["▁a", "▁cat", "</s>"]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


DOT = {"score": "dot", "formula": "q·k · s", "raw_formula": "q·k"}
ADDITIVE = {"score": "additive", "formula": "vᵀ tanh(q + k)", "raw_formula": "vᵀ tanh(q + k)"}


EXPLANATION = {
    "other": "</script>",
    "score": 1.5,
    "attribution": [{"method": "occlusion", "source": [1, 0, 0, -1], "prefix": [0.5]}],
    "lens": [],
    "parts": [],
}


def page(
    attention: bool = True,
    score: Mapping[str, str] = DOT,
    factor: float = 0.5,
    explained: bool = False,
    target: list[str] = TARGET,
) -> str:
    """Returns the page of an artificial pair with two heads whose cross-attention follows from the raw scores."""
    generator = np.random.default_rng(0)
    query, key, value = (generator.normal(size=(rows, 2, 5)).astype(np.float32) for rows in (3, 4, 4))
    raw = np.einsum("thk,shk->hts", query, key).astype(np.float32)
    factors = np.full(2, factor, np.float32)
    trace = AttentionTrace(
        query_THK=query, key_SHK=key, value_SHU=value, raw_HTS=raw, factor_H=factors, softmax=True, **score
    )
    weights = {
        "encoder/0": softmax(generator.normal(size=(2, 4, 4))),
        "decoder/0": softmax(np.where(np.tril(np.ones((3, 3))), generator.normal(size=(2, 3, 3)), -1e30)),
        "cross/0": softmax(raw * factor),
    }
    log = np.log(np.array([0.5, 0.25, 0.75], np.float32))
    best = np.log(np.array([[0.5, 0.1]] * 3, np.float32))
    reading = PairOutputs(weights if attention else {}, log, np.zeros((3, 2), np.int32), best)
    likely = [["▁a", "▁</script>"]] * 3
    beam = [{"text": "a cat", "score": -2.0, "rank": -1.5}, {"text": "the <b>cat", "score": -3.0, "rank": -2.5}]
    traces = {"cross/0": trace} if attention else {}
    explanations = [{"position": position, **EXPLANATION} for position in range(3)] if explained else []
    shown = AnalyzedPair("translation", SOURCE, target, reading, likely, traces, True, beam, explanations)
    return attention_page("Attention & <more>", [AnalyzedSentence("<un chat", [shown])])


def test_page_is_self_contained() -> None:
    text = page()
    assert "http" not in re.sub(r'"[A-Za-z0-9+/=]{40,}"', "", text)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {"data:,"}
    assert "Attention &amp; &lt;more&gt;" in text
    element = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(element)["sentences"][0]["pairs"][0]["alternatives"][0][1] == ["</script>", 0.1]


def in_browser(text: str, script: str, folder: pathlib.Path, *more_flags: str) -> str:
    """Returns the page's title after the page's script and another script have run."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed")
    errors = "<script>window.onerror = (what) => { document.title = 'error: ' + what; };</script>"
    text = text.replace("<style>", errors + "<style>", 1)
    text = text.replace("</body>", f"<script>{{{script}}}</script></body>")
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/b"]
    done = subprocess.run(
        [browser, *flags, *more_flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120
    )
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
const difference = +document.getElementById("scores").dataset.difference;
choose("pieces", true);
const pieces = [...document.querySelectorAll("#map thead th")].map((cell) => cell.textContent).join(" ");
choose("kind", 0); const encoder = words().map((word) => word.textContent).join(" ");
choose("kind", 1); words()[0].focus();
const seen = [...document.querySelectorAll("#heads .card:first-child .hot")].map((word) => word.title).join(" ");
document.getElementById("why-tab").click();
const why = document.querySelector(".why-status").textContent;
const panels = ["attention-panel", "why-panel", "attention-controls"].map((id) => document.getElementById(id).hidden);
document.title = JSON.stringify({ why, panels, different: new Set(found).size, third, difference, pieces, encoder, seen,
  hidden: document.getElementById("score-part").hidden, beam: document.querySelectorAll("#beam tbody tr").length });
"""


def test_hovering_and_keys_change_the_content(tmp_path: pathlib.Path) -> None:
    found = json.loads(in_browser(page(), _TOUR, tmp_path))
    assert found["different"] == 4  # of the start, a hovered word, a key, another head
    assert found["third"] == "false,false,true"
    assert found["difference"] < 1e-5  # the page's softmax of raw scores × factor is the model's weights
    assert found["pieces"] == " <un ch at </s>"
    assert found["encoder"] == "<un ch at </s>"
    assert found["seen"] == "1.000 0.000 0.000"
    assert found["hidden"]  # the decoder's attention has no trace in this page
    assert found["beam"] == 2
    assert found["panels"] == [True, False, True]  # the second tab is chosen
    assert found["why"] == "Only pairs of at most 32 tokens a side are explained."


_RIGHT_TO_LEFT = """
const row = document.getElementById("queries"), [first, second] = row.querySelectorAll("button");
const place = (element) => element.getBoundingClientRect().left;
first.focus();
first.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
const found = { first: first.textContent, leftmost: place(first) < place(second),
  focused: document.activeElement === second };
const end = document.querySelector("#queries button:last-child").firstChild;
const [start, next] = [0, 1].map((index) => {
  const range = document.createRange();
  range.setStart(end, index);
  range.setEnd(end, index + 1);
  return range.getBoundingClientRect().left;
});
found.mirrored = start > next;
document.getElementById("why-tab").click();
document.querySelectorAll(".why-token")[2].click();
const direction = (selector) => getComputedStyle(document.querySelector(selector)).direction;
setTimeout(() => { document.title = JSON.stringify({ ...found, directions: ["#queries", "#translation",
  "#map tbody th", ".why-tokens", ".why-row + .why-row", "#map thead th[dir]", ".why-row"].map(direction) }); });
"""


@pytest.mark.parametrize(
    "target",
    [TARGET, ["▁قطة", "▁سوداء", "</s>"], pytest.param(["▁חתול", "▁שחור", "</s>"], marks=pytest.mark.slow)],
)
def test_text_from_right_to_left_is_shown_so(tmp_path: pathlib.Path, target: list[str]) -> None:
    """The first word is the rightmost one, and the left arrow key goes to the second."""
    text = page(target=target, explained=True)
    found = json.loads(in_browser(text, _RIGHT_TO_LEFT, tmp_path, "--virtual-time-budget=2000"))
    assert found["first"] == target[0].removeprefix("▁")
    is_latin = target == TARGET
    assert (found["leftmost"], found["focused"]) == (is_latin, not is_latin)
    assert not found["mirrored"]  # the end symbol, "</s>"
    assert found["directions"] == ["ltr" if is_latin else "rtl"] * 5 + ["ltr"] * 2


def test_model_without_attention(tmp_path: pathlib.Path) -> None:
    script = (
        "document.title = [document.getElementById('attention').hidden,"
        " document.querySelectorAll('#translation button').length, document.getElementById('token').textContent];"
    )
    title = in_browser(page(attention=False), script, tmp_path)
    assert title == "true,3,Most probable tokens at “a”: a 0.500</script> 0.100"


def test_the_tab_why_explains_the_chosen_token(tmp_path: pathlib.Path) -> None:
    script = """
        document.getElementById("why-tab").click();
        document.querySelectorAll(".why-token")[1].click();
        const text = (query) => document.querySelector(query).textContent;
        setTimeout(() => { document.title = text(".why-question") + " " + text(".why-row") +
          document.querySelectorAll(".why h3").length; });
    """
    title = in_browser(page(attention=False, explained=True), script, tmp_path, "--virtual-time-budget=2000")
    assert title.startswith("Why “cat” rather than “</script>”? Log-odds +1.50.")
    assert title.endswith("source  <un+1.00 ch0.00 at0.00 </s>−1.001")  # neither lens nor heads


_SCORES = """
document.title = JSON.stringify({
  formula: document.getElementById("formula").textContent, factor: document.getElementById("factor").textContent,
  headings: [...document.querySelectorAll("#scores thead th")].map((cell) => cell.textContent),
  saturation: document.getElementById("saturation").textContent });
"""


def test_explanation_of_a_score_with_a_factor(tmp_path: pathlib.Path) -> None:
    shown = json.loads(in_browser(page(), _SCORES, tmp_path))
    assert shown["formula"] == "q·k · s"
    assert shown["factor"] == "Score function: dot. This head's factor is 0.5000; 1/√d_k is 0.4472 with d_k = 5."
    assert shown["headings"][2:7] == ["q·k", "score: × 0.500", "softmax: weight", "", "weight with × 1.000"]
    assert "; with × 1.000: largest weight" in shown["saturation"]


def test_a_score_without_a_factor_is_compared_with_the_usual_one(tmp_path: pathlib.Path) -> None:
    shown = json.loads(in_browser(page(factor=1.0), _SCORES, tmp_path))
    assert "weight with × 0.447" in shown["headings"]


def test_explanation_of_an_additive_score_has_no_factor(tmp_path: pathlib.Path) -> None:
    shown = json.loads(in_browser(page(score=ADDITIVE, factor=1.0), _SCORES, tmp_path))
    assert shown["formula"] == "vᵀ tanh(q + k)"
    assert shown["factor"] == "Score function: additive. It has no scale factor."
    assert shown["headings"][2:] == ["vᵀ tanh(q + k)", "softmax: weight", "", "v", "weight · v"]
    assert "×" not in shown["saturation"]
