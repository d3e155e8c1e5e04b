"""The view "Why this word?": its data, and a page of its own that a notebook shows."""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.web.page import html_document, read_static
from transformer.analysis import subwords
from transformer.analysis.attribution import METHODS
from transformer.analysis.explanation import DIRECT_EFFECTS, LENS, LensPoint, Measured
from transformer.analysis.forced_decoding import PairOutputs

MAX_TOKENS = 32  # of the source and of the target, with EOS, of pairs whose tokens are all explained; bounds the page
_HEIGHT = 640  # pixels of the view in a notebook; it scrolls
Pieces = Callable[[Sequence[int]], list[str]]  # token ids to pieces


def explanation_data(
    measured: Mapping[str, Measured], position: int, other: int, outputs: PairOutputs, sources: int, pieces: Pieces
) -> dict[str, Any]:
    """Returns the explanation of one target token for the view.

    Args:
      measured: one row of each measure, from `explanation.row_of`.
      position: number of the target token.
      other: the token that it is compared with, one of `outputs.top_tokens`.
      outputs: of the pair.
      sources: number of source tokens, with EOS.
      pieces: of the tokenizer.
    """

    def texts(ids: Any) -> list[str]:
        return subwords.piece_texts(pieces([int(token) for token in ids]))

    def point(name: str, point: LensPoint) -> dict[str, Any]:
        top = zip(texts(point.top_tokens), point.top_probability, strict=True)
        return {
            "name": part_title(name),
            "probability": _rounded(point.probability_B),
            "top": [{"piece": piece, "probability": _rounded(p)} for piece, p in top],
        }

    top = outputs.top_tokens[position].tolist()
    score = outputs.log_probability_T[position] - outputs.top_log_probability[position][top.index(other)]
    points, effects = measured.get(LENS, {}), measured.get(DIRECT_EFFECTS, {})
    return {
        "position": position,
        "other": texts([other])[0],
        "score": _rounded(score),
        "attribution": [
            {
                "method": method,
                "source": _rounded(measured[method]["source_BS"][:sources]),
                "prefix": _rounded(measured[method]["prefix_BT"][: position + 1]),
            }
            for method in METHODS
            if method in measured
        ],
        "lens": [point(name, points[name]) for name in _in_order(points)],
        "parts": [
            {"name": part_title(name), "effects": _rounded(np.atleast_1d(effects[name]))} for name in _in_order(effects)
        ],
    }


def _rounded(values: Any) -> Any:
    return np.round(np.asarray(values, np.float64), 4).tolist()


_KINDS = {"self_attention": "self-attention", "cross_attention": "cross-attention", "feed_forward": "feed-forward"}


def _in_order(names: Iterable[str]) -> list[str]:
    """Returns activations of the decoder in the order in which it computes them; those without a layer come last."""

    def key(name: str) -> tuple[float, int, bool]:
        layer, kind, part = _parts(name)
        number = int(layer) if layer.isdigit() else -1 if layer else math.inf
        return number, [*_KINDS, kind].index(kind), part == "bias"

    return sorted(names, key=key)


def part_title(name: str) -> str:
    """Returns the name of an activation of the decoder in words: "decoder/0/cross_attention/heads" is in layer 1."""
    layer, kind, part = _parts(name)
    if not layer.isdigit():
        return "embeddings" if layer else name
    words = ["layer", str(int(layer) + 1), _KINDS.get(kind, ""), "biases" if part == "bias" else ""]
    return " ".join(word for word in words if word)


def _parts(name: str) -> tuple[str, str, str]:
    """Returns the layer, the kind of sub-layer and the part that an activation's name consists of."""
    _, layer, kind, part, *_ = [*name.split("/"), "", "", ""]
    return layer, kind, part


class WordExplanation:
    """The explanations of all words of one translation. A notebook shows them as the view "Why this word?".

    Attributes:
      title: heading of the view.
      data: what the view shows, from `view_data`.
    """

    def __init__(self, title: str, data: Mapping[str, Any]) -> None:
        self.title, self.data = title, data

    def page(self) -> str:
        """Returns a complete HTML page, which needs no other file and no network."""
        script = read_static("elements.js", "why.js", "why_page.js")
        return html_document(self.title, '<main id="why"></main>\n', read_static("why.css"), script, self.data)

    def _repr_html_(self) -> str:
        # The frame keeps the page's style and script apart from the notebook's; it may run scripts and nothing else.
        return (
            f'<iframe sandbox="allow-scripts" title="{html.escape(self.title)}" srcdoc="{html.escape(self.page())}" '
            f'style="width: 100%; height: {_HEIGHT}px; border: 0"></iframe>'
        )


def view_data(
    source: Sequence[str], target: Sequence[str], outputs: PairOutputs, explanations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns the data of the view: the pieces of a pair, probabilities, and an explanation of each target token."""
    return {
        "source": subwords.piece_texts(source),
        "target": subwords.piece_texts(target),
        "probability": _rounded(np.exp(outputs.log_probability_T)),
        "explanations": list(explanations),
    }
