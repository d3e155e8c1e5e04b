"""Scores of translations, and the picture that goes with them: what training ends with and `evaluate` is about."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from experiments.runs.system import System
from transformer.analysis import attention
from transformer.data.corpus import Pair
from transformer.evaluation import bleu
from transformer.spec import EOS, DecodeSpec
from transformer.training.state import Params


def evaluate_split(
    system: System, params: Params, pairs: Sequence[Pair], decode: DecodeSpec
) -> tuple[dict[str, Any], list[str]]:
    """Translates the sources of `pairs` and scores the texts against the raw targets."""
    begun = time.monotonic()
    found = system.translator(params, decode).translate([pair.source for pair in pairs])
    seconds = time.monotonic() - begun
    texts = [translations[0].text for translations in found]
    scores = bleu.score(texts, [pair.target for pair in pairs], system.spec.data.target_language)
    return {**scores.to_dict(), "seconds": round(seconds, 2)}, texts


def picture(system: System, params: Params, pairs: Sequence[Pair], path: pathlib.Path) -> bool:
    """Draws the cross-attention of one test sentence of middling length in a PNG; says whether there is any."""
    if not attention.has_cross_attention(system.model(params)):
        return False
    pair = min(pairs[:100], key=lambda pair: abs(len(pair.source.split()) - 12))
    greedy = dataclasses.replace(system.spec.decode, method="greedy")
    target = system.translator(params, greedy).translate([pair.source])[0][0].tokens
    source = system.tokenizer.encode(pair.source)
    weights = attention.cross_attention(system.model(params), source, target)
    attention.draw(weights, system.tokenizer.pieces([*source, EOS]), system.tokenizer.pieces(target), path)
    return True
