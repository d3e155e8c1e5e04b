"""Mixtures of corpora: `data.mixture` as text, and its parts."""

import re
from typing import NamedTuple

from transformer.section import require

_WEIGHT = re.compile(r"x(\d+(?:\.\d+)?|\.\d+)")
_TAG = re.compile(r"<[\w.+-]+>|>>[\w.+-]+<<")
_RESERVED = ("<s>", "<pad>", "<unk>")  # of vocabularies


class Part(NamedTuple):
    """A corpus of a mixture.

    Attributes:
      corpus: a path with {split}, as `data.path`; "grammar"; or else the name of a TFDS dataset, as `data.name`.
      weight: how often each pair occurs in an epoch; with a fraction, some pairs occur once more than others.
      tag: a token before each source sentence; "": none.
    """

    corpus: str
    weight: float
    tag: str


def parse_mixture(text: str) -> tuple[Part, ...]:
    """Returns the parts of "CORPUS [xWEIGHT] [<TAG>], ...".

    For example "multi30k x2, back/{split}.{language} <BT>".

    Raises:
      ValueError: a part has no corpus, no positive weight, or more than a corpus, a weight and a tag.
    """
    return tuple(_part(part) for part in text.split(",")) if text.strip() else ()


def _part(text: str) -> Part:
    corpus, *options = text.split() or [""]
    weights = [match[1] for option in options if (match := _WEIGHT.fullmatch(option))]
    tags = [option for option in options if _TAG.fullmatch(option)]
    problem = f"data.mixture: {text.strip()!r}"
    is_part = corpus and not _WEIGHT.fullmatch(corpus) and not _TAG.fullmatch(corpus)
    known = len(weights) <= 1 and len(tags) <= 1 and len(weights) + len(tags) == len(options)
    require(
        bool(is_part and known), f"{problem} is not CORPUS [xWEIGHT] [<TAG>], as in back/{{split}}.{{language}} x2 <BT>"
    )
    require(not set(tags).intersection(_RESERVED), f"{problem} has a tag that vocabularies reserve; name another one")
    weight = float(weights[0]) if weights else 1.0
    require(weight > 0, f"{problem} has the weight 0; leave it out")
    return Part(corpus, weight, tags[0] if tags else "")
