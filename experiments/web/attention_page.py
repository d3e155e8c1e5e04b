"""Attention of some sentences as one HTML page: hover a word and see where each head looks, and why."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.web.attention_script import SCRIPT, STYLE
from experiments.web.page import document
from transformer.analysis import subwords
from transformer.analysis.attention_trace import Inside
from transformer.analysis.forced_decoding import Reading

_BODY = """
<div class="controls">
<label>sentence <select id="sentence"></select></label>
<label>target <select id="reading"></select></label>
<label>attention <select id="kind"></select></label>
<label>layer <select id="layer"></select></label>
<label>head <select id="head"></select></label>
<label><input type="checkbox" id="pieces"> sub-words</label>
</div>
<main>
<h2>Translation</h2>
<p id="translation"></p>
<p id="token" aria-live="polite"></p>
<p class="note">Each token with its probability given those before it. Hover or focus one to see what else was
likely.</p>
<h2>What the search kept</h2>
<div class="table"><table id="beam"></table></div>
<div id="looks">
<h2>Where each head looks</h2>
<p class="note">Hover a word, or move with Tab and the arrow keys. A target word looks in order to be predicted.</p>
<p id="queries" role="group" aria-label="words that look"></p>
<div id="heads" class="heads"></div>
<h2>The chosen head</h2>
<div id="map" class="map"></div>
<div id="score-part">
<h2>Score by score</h2>
<p><code id="formula"></code></p>
<p id="query-vector"></p>
<div class="table"><table id="scores" class="scores"></table></div>
<p id="context"></p>
<p id="saturation" aria-live="polite"></p>
<p class="note">Of a word of several sub-words, its last one looks here. Strips show a vector's numbers: orange is
positive, blue negative, and pale is small.</p>
</div>
</div>
</main>
"""


class Shown(NamedTuple):
    """One pair as the page shows it."""

    title: str  # "translation" or "reference"
    source: Sequence[str]  # pieces, "</s>" included
    target: Sequence[str]  # pieces, "</s>" included
    reading: Reading
    likely: Sequence[Sequence[str]]  # pieces of `reading.likely`
    inside: Mapping[str, Inside]
    causal: bool
    beam: Sequence[Mapping[str, Any]]  # text, score, rank of each hypothesis, best first


class Sentence(NamedTuple):
    """A source sentence with what became of it."""

    text: str
    shown: Sequence[Shown]


def attention_page(title: str, sentences: Sequence[Sentence]) -> str:
    """The whole HTML; it needs no other file and no network."""
    data = {
        "sentences": [{"text": each.text, "readings": [_reading(shown) for shown in each.shown]} for each in sentences]
    }
    return document(title, _BODY, STYLE, SCRIPT, data)


def _reading(shown: Shown) -> dict[str, Any]:
    reading = shown.reading
    return {
        "title": shown.title,
        "beam": list(shown.beam),
        "source": _text(shown.source),
        "target": _text(shown.target),
        "read": _text(["<s>", *shown.target[:-1]]),
        "probability": [round(float(each), 4) for each in np.exp(reading.log_probability_T)],
        "likely": [
            [[_plain(piece), round(float(p), 4)] for piece, p in zip(pieces, row, strict=True)]
            for pieces, row in zip(shown.likely, np.exp(reading.likely_log_probability), strict=True)
        ],
        "attention": [_attention(name, weights) for name, weights in reading.attention.items()],
        "inside": {name: _inside(each, shown.causal) for name, each in shown.inside.items()},
    }


def _plain(piece: str) -> str:
    return subwords.text([piece])


def _text(pieces: Sequence[str]) -> dict[str, Any]:
    spans = subwords.groups(pieces)
    return {
        "pieces": [_plain(piece) for piece in pieces],
        "words": [[first, end, subwords.text(pieces[first:end])] for first, end in spans],
    }


def _attention(name: str, weights_HTS: np.ndarray) -> dict[str, Any]:
    heads, rows, columns = weights_HTS.shape
    kind, _, layer = name.partition("/")
    shape = {"heads": heads, "rows": rows, "columns": columns}
    return {"name": name, "kind": kind, "layer": int(layer), **shape, "weights": _base64(weights_HTS)}


def _inside(inside: Inside, causal: bool) -> dict[str, Any]:
    return {
        "kind": inside.kind,
        "softmax": inside.softmax,
        "causal": causal,
        "k": inside.query_THK.shape[-1],
        "u": inside.value_SHU.shape[-1],
        "scale": [float(each) for each in inside.scale_H],
        "vector": _base64(inside.vector_HK),
        "query": _base64(inside.query_THK),
        "key": _base64(inside.key_SHK),
        "value": _base64(inside.value_SHU),
    }


def _base64(array: np.ndarray) -> str:
    """Four bytes a number, lowest first: exactly the model's, in less space than digits."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
