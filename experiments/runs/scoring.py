"""Scores the translations of a split, and draws the attention of one sentence."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from experiments.runs.system import System
from transformer.analysis import attention_plots
from transformer.data.corpus import Pair
from transformer.evaluation import bleu
from transformer.spec import EOS, DecodeSpec
from transformer.training.state import Params


def evaluate_split(
    system: System, params: Params, pairs: Sequence[Pair], decode: DecodeSpec
) -> tuple[dict[str, Any], list[str]]:
    """Translates the sources of `pairs`; returns the scores against the raw targets, and the translations."""
    start = time.monotonic()
    translations = system.translator(params, decode).translate([pair.source for pair in pairs])
    seconds = time.monotonic() - start
    texts = [n_best[0].text for n_best in translations]
    scores = bleu.score(texts, [pair.target for pair in pairs], system.spec.data.target_language)
    return {**scores.to_dict(), "seconds": round(seconds, 2)}, texts


def draw_attention(system: System, params: Params, pairs: Sequence[Pair], path: pathlib.Path) -> bool:
    """Draws the cross-attention of a sentence of about 12 words as PNG; returns False without cross-attention."""
    if not attention_plots.has_cross_attention(system.model(params)):
        return False
    pair = min(pairs[:100], key=lambda pair: abs(len(pair.source.split()) - 12))
    greedy = dataclasses.replace(system.spec.decode, method="greedy")
    target = system.translator(params, greedy).translate([pair.source])[0][0].tokens
    source = system.tokenizer.encode(pair.source)
    cross_attention = system.partitioner.at_precision(attention_plots.cross_attention)
    weights, pieces = cross_attention(system.model(params), source, target), system.tokenizer.pieces
    attention_plots.draw_cross_attention(weights, pieces([*source, EOS]), pieces(target), path)
    return True
