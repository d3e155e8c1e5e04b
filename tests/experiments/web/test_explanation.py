"""The view "Why this word?": its data from numbers by hand, and the page in a browser."""

import html
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest

from experiments.web.explanation import WordExplanation, explanation_data, part_title, view_data
from tests.experiments.web.test_attention_page import in_browser
from transformer.analysis.explanation import DIRECT_EFFECTS, LENS, LensPoint
from transformer.analysis.forced_decoding import PairOutputs

PIECES = ["<pad>", "<s>", "</s>", "▁<b>il", "▁elle", "▁peur", "▁he"]
SOURCE, TARGET = [6, 2], [3, 5, 2]
OUTPUTS = PairOutputs(
    {},
    np.log(np.array([0.25, 0.5, 0.75], np.float32)),
    np.array([[4, 3], [5, 4], [2, 4]], np.int32),
    np.log(np.array([[0.5, 0.25], [0.5, 0.125], [0.75, 0.0625]], np.float32)),
)


def pieces(ids: Any) -> list[str]:
    return [PIECES[token] for token in ids]


def data(position: int, other: int) -> dict[str, Any]:
    """Returns the data of a model of one layer with two heads, whose numbers are padded to 4 positions."""

    def attribution(offset: float) -> dict[str, Any]:
        source, prefix = np.arange(4) + offset, -np.arange(4) - offset
        return {"source_BS": source.astype(np.float32), "prefix_BT": prefix.astype(np.float32)}

    effects = {  # a compiled program returns names in alphabetical order
        "biases of norms and output": np.float32(0.5),
        "decoder/0/cross_attention/bias": np.float32(0.125),
        "decoder/0/cross_attention/heads": np.array([1.0, -2.0], np.float32),
        "decoder/0/feed_forward/output": np.float32(0.25),
        "decoder/0/self_attention/heads": np.array([3.0, 4.0], np.float32),
        "decoder/embedding": np.float32(-1.0),
    }
    point = LensPoint(np.float32(0.25), np.array([4, 3]), np.array([0.5, 0.25]))  # type: ignore[arg-type]
    measured = {
        "input × gradient": attribution(1),
        "occlusion": attribution(2),
        LENS: {"decoder/0/residual": point, "decoder/embedding": point},
        DIRECT_EFFECTS: effects,
    }
    return explanation_data(measured, position, other, OUTPUTS, len(SOURCE), pieces)


def test_an_explanation_has_no_padding_and_the_order_of_the_decoder() -> None:
    found = data(1, 4)
    assert (found["position"], found["other"]) == (1, "elle")
    assert found["score"] == pytest.approx(np.log(4), abs=1e-4)
    assert found["attribution"] == [
        {"method": "input × gradient", "source": [1, 2], "prefix": [-1, -2]},
        {"method": "occlusion", "source": [2, 3], "prefix": [-2, -3]},
    ]
    assert [point["name"] for point in found["lens"]] == ["embeddings", "layer 1"]
    assert found["lens"][0]["top"] == [
        {"piece": "elle", "probability": 0.5},
        {"piece": "<b>il", "probability": 0.25},
    ]
    assert [(part["name"], part["effects"]) for part in found["parts"]] == [
        ("embeddings", [-1]),
        ("layer 1 self-attention", [3, 4]),
        ("layer 1 cross-attention", [1, -2]),
        ("layer 1 cross-attention biases", [0.125]),
        ("layer 1 feed-forward", [0.25]),
        ("biases of norms and output", [0.5]),
    ]


def test_layers_are_ordered_by_number() -> None:
    assert [part_title(f"decoder/{layer}/residual") for layer in (1, 9)] == ["layer 2", "layer 10"]
    measured = {DIRECT_EFFECTS: {f"decoder/{layer}/feed_forward/output": np.float32(0) for layer in (10, 9, 2)}}
    found = explanation_data(measured, 0, 4, OUTPUTS, 2, pieces)
    assert [part["name"] for part in found["parts"]] == [f"layer {n} feed-forward" for n in (3, 10, 11)]
    assert (found["attribution"], found["lens"]) == ([], [])


@pytest.fixture
def shown() -> WordExplanation:
    view = view_data(pieces(SOURCE), pieces(TARGET), OUTPUTS, [data(0, 4), data(1, 4), data(2, 4)])
    return WordExplanation("Why? </iframe><i>", view)


def test_a_notebook_gets_one_frame_and_no_markup_of_the_text(shown: WordExplanation) -> None:
    shown_html = shown._repr_html_()
    assert re.findall(r"</?\w+", shown_html) == ["<iframe", "</iframe"]
    (document,) = re.findall(r'srcdoc="([^"]*)"', shown_html)
    assert html.unescape(document) == shown.page()
    assert 'sandbox="allow-scripts"' in shown_html
    assert "<b>" not in shown.page()
    assert "</iframe>" not in shown.page()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', shown.page())) == {"data:,"}


_TOUR = """
(async () => {
const found = {}, root = document.getElementById("why"), all = (query) => [...root.querySelectorAll(query)];
const tokens = () => all(".why-token"), settled = () => new Promise((resolve) => setTimeout(resolve, 50));
const text = (query) => root.querySelector(query).textContent;
await settled();
found.first = text(".why-question");
tokens()[1].click(); await settled();
found.second = text(".why-question");
found.values = all(".why-row .signed").map((token) => token.textContent);
tokens()[1].focus();
document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
await settled();
found.key = tokens().map((token) => token.getAttribute("aria-pressed")).join();
found.tabStops = tokens().filter((token) => token.tabIndex === 0).length;
const method = root.querySelector("select");
method.value = "occlusion"; method.dispatchEvent(new Event("change"));
found.occlusion = all(".why-row .signed").map((token) => token.textContent);
found.cells = all("td[colspan]").map((cell) => cell.textContent);
found.sections = all("h3").map((heading) => heading.textContent);
found.markup = all("b").length;
document.title = JSON.stringify(found);
})();
"""


@pytest.mark.slow
def test_clicks_and_keys_choose_a_token(shown: WordExplanation, tmp_path: pathlib.Path) -> None:
    found = json.loads(in_browser(shown.page(), _TOUR, tmp_path, "--virtual-time-budget=2000"))
    assert found["first"].startswith("Why “<b>il” rather than “elle”? Log-odds −0.69.")
    assert found["second"].startswith("Why “peur” rather than “elle”? Log-odds +1.39.")
    assert found["values"] == ["he+1.00", "</s>+2.00", "<s>−1.00", "<b>il−2.00"]
    assert (found["key"], found["tabStops"]) == ("false,false,true", 1)
    assert found["occlusion"] == ["he+2.00", "</s>+3.00", "<s>−2.00", "<b>il−3.00", "peur−4.00"]
    assert found["cells"] == ["−1.00", "+3.00", "+4.00", "+1.00", "−2.00", "+0.13", "+0.25", "+0.50"]
    assert found["sections"] == [
        "What each token contributes",
        "What each layer would predict",
        "Which part writes it",
    ]
    assert found["markup"] == 1  # the log-odds
