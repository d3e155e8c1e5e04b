"""The attention page: a self-contained HTML file that shows each head's weights and the scores they come from."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.web.explanation import MAX_TOKENS
from experiments.web.page import html_document, read_static
from transformer.analysis import subwords
from transformer.analysis.attention_trace import AttentionTrace
from transformer.analysis.forced_decoding import PairOutputs


class AnalyzedPair(NamedTuple):
    """A source sentence and one target, with the model's outputs."""

    title: str  # "translation" or "reference"
    source: Sequence[str]  # pieces, including "</s>"
    target: Sequence[str]  # pieces, including "</s>"
    forced_decoding: PairOutputs
    alternatives: Sequence[Sequence[str]]  # pieces of `forced_decoding.top_tokens`
    traces: Mapping[str, AttentionTrace]
    causal: bool
    hypotheses: Sequence[Mapping[str, Any]]  # text, score, rank of each hypothesis, best first
    explanations: Sequence[Mapping[str, Any]] = ()  # of each target token, from `explanation.explanation_data`


class AnalyzedSentence(NamedTuple):
    """A source sentence and its targets."""

    text: str
    pairs: Sequence[AnalyzedPair]


def attention_page(title: str, sentences: Sequence[AnalyzedSentence]) -> str:
    """Returns the complete HTML, which needs no other file and no network."""
    data = {
        "sentences": [
            {"text": sentence.text, "pairs": [_pair_data(pair) for pair in sentence.pairs]} for sentence in sentences
        ],
        "explained_tokens": MAX_TOKENS,
    }
    style, script = read_static("attention.css", "why.css"), read_static("elements.js", "why.js", "attention.js")
    return html_document(title, read_static("attention.html"), style, script, data)


def _pair_data(pair: AnalyzedPair) -> dict[str, Any]:
    outputs = pair.forced_decoding
    return {
        "title": pair.title,
        "hypotheses": list(pair.hypotheses),
        "explanations": list(pair.explanations),
        "source": _text_data(pair.source),
        "target": _text_data(pair.target),
        "decoder_input": _text_data(["<s>", *pair.target[:-1]]),
        "probability": [round(float(p), 4) for p in np.exp(outputs.log_probability_T)],
        "alternatives": [
            [[text, round(float(p), 4)] for text, p in zip(subwords.piece_texts(pieces), probabilities, strict=True)]
            for pieces, probabilities in zip(pair.alternatives, np.exp(outputs.top_log_probability), strict=True)
        ],
        "attention": [_attention_data(name, weights) for name, weights in outputs.attention.items()],
        "traces": {name: _trace_data(trace, pair.causal) for name, trace in pair.traces.items()},
    }


def _text_data(pieces: Sequence[str]) -> dict[str, Any]:
    return {"pieces": subwords.piece_texts(pieces), "words": subwords.word_texts(pieces)}


def _attention_data(name: str, weights_HTS: np.ndarray) -> dict[str, Any]:
    heads, rows, columns = weights_HTS.shape
    kind, _, layer = name.partition("/")
    shape = {"heads": heads, "rows": rows, "columns": columns}
    return {"name": name, "kind": kind, "layer": int(layer), **shape, "weights": _base64(weights_HTS)}


def _trace_data(trace: AttentionTrace, causal: bool) -> dict[str, Any]:
    return {
        "score": trace.score,
        "formula": trace.formula,
        "raw_formula": trace.raw_formula,
        "softmax": trace.softmax,
        "causal": causal,
        "k": trace.query_THK.shape[-1],
        "u": trace.value_SHU.shape[-1],
        "factor": [float(factor) for factor in trace.factor_H],
        "raw": _base64(trace.raw_HTS),
        "query": _base64(trace.query_THK),
        "key": _base64(trace.key_SHK),
        "value": _base64(trace.value_SHU),
    }


def _base64(array: np.ndarray) -> str:
    """Encodes little-endian float32: exact, and shorter than digits."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
