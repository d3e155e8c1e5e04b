"""Scores the translations of a split, and draws the attention of one sentence."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.runs.system import System
from experiments.runtime import distributed
from transformer.analysis import attention_plots
from transformer.data.corpus import Pair
from transformer.evaluation import bleu
from transformer.languages import count_words
from transformer.spec import EOS, UNKNOWN_POLICIES, DecodeSpec
from transformer.training.state import Params

_MAX_WARNINGS = 5  # warnings about single lines; the others are counted


def evaluate_split(
    system: System,
    params: Params,
    pairs: Sequence[Pair],
    decode: DecodeSpec,
    warn: Callable[[str], None] = lambda message: None,
    others: Sequence[Sequence[str]] = (),
    labels: Mapping[str, str] | None = None,
    unknown: str = UNKNOWN_POLICIES[0],
) -> tuple[dict[str, Any], list[str]]:
    """Translates the sources of `pairs`; returns the scores against the raw targets, and the translations.

    Args:
      system: the model.
      params: its parameters.
      pairs: sources and references.
      decode: settings of the search.
      warn: called with a message for each of the first lines that are translated in parts or have unknown characters,
        and with the number of the others.
      others: further lists of references, each with one per pair.
      labels: further items of the signatures, such as "test".
      unknown: what stands for unknown words in translations, one of `spec.UNKNOWN_POLICIES`.
    """
    start, warnings = time.monotonic(), list[str]()
    translator = system.translator(params, decode, warn=warnings.append, unknown=unknown)
    translations = translator.translate([pair.source for pair in pairs])
    seconds = time.monotonic() - start
    texts = [n_best[0].text for n_best in translations]
    for message in warnings[:_MAX_WARNINGS]:
        warn(message)
    if len(warnings) > _MAX_WARNINGS:
        warn(f"{len(warnings) - _MAX_WARNINGS} more warnings of these kinds, about other lines")
    references, language = [pair.target for pair in pairs], system.spec.data.target_language
    scores = bleu.score(texts, references, language, others, labels)
    return {**scores.to_dict(), "seconds": round(seconds, 2)}, texts


def attention_figure(system: System, params: Params, pairs: Sequence[Pair], path: pathlib.Path) -> str:
    """Draws the cross-attention of a sentence; returns a line that tells the user where it is, or why there is none.

    It raises no exception: a run whose figure fails is finished and scored.
    """
    if distributed.is_distributed():
        return "no attention figure: runs of several processes do not draw one"
    try:
        drawn = draw_attention(system, params, pairs, path)
    except Exception as error:
        return f"warning: no attention figure: {type(error).__name__}: {error}"
    return f"attention figure: {path}" if drawn else "no attention figure: the model has no cross-attention"


def draw_attention(system: System, params: Params, pairs: Sequence[Pair], path: pathlib.Path) -> bool:
    """Draws the cross-attention of a sentence of about 12 words as PNG; returns False without cross-attention."""
    if not attention_plots.has_cross_attention(system.model(params)):
        return False
    pair = min(pairs[:100], key=lambda pair: abs(count_words(pair.source) - 12))
    greedy = dataclasses.replace(system.spec.decode, method="greedy")
    target = system.translator(params, greedy).translate([pair.source])[0][0].tokens
    source = system.tokenizer.encode(system.input_text.read([pair.source])[0].text)
    cross_attention = system.partitioner.at_precision(attention_plots.cross_attention)
    weights, pieces = cross_attention(system.model(params), source, target), system.tokenizer.pieces
    attention_plots.draw_cross_attention(weights, pieces([*source, EOS]), pieces(target), path)
    return True
