"""Explains each word of a run's translations, for the attention page and for notebooks."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.studies.inspected_run import InspectedRun
from experiments.web.explanation import MAX_TOKENS, WordExplanation, explanation_data, view_data
from transformer.analysis import explanation
from transformer.analysis.forced_decoding import PairOutputs
from transformer.padding import padded_width
from transformer.section import did_you_mean
from transformer.spec import EOS

_ROWS = 8  # target tokens that are explained jointly


class Explainer:
    """Explains target tokens; its programs are compiled once per width.

    Args:
      run: a trained run, also one that was started from a Marian or OPUS-MT model.
      measures: names in `explanation.MEASURES`; None: all that the model has.
    """

    def __init__(self, run: InspectedRun, measures: Sequence[str] | None = None) -> None:
        self._run = run
        available = explanation.measures_of(run.model)
        if unknown := [name for name in measures or () if name not in available]:
            near = did_you_mean(unknown[0], available)
            raise ValueError(f"no measure {unknown[0]!r} of this model; it has {', '.join(available)}{near}")
        names = available if measures is None else measures
        self._compiled = {name: run.jit(self._measure(name)) for name in names}

    def _measure(self, name: str) -> Any:
        return lambda params, batch: explanation.MEASURES[name](self._run.system.model(params), batch)

    def explain(self, source: Sequence[int], target: Sequence[int], outputs: PairOutputs) -> list[dict[str, Any]]:
        """Returns the data of each target token's explanation over the most probable other token; [] for long pairs.

        Args:
          source: ids without EOS.
          target: ids with EOS.
          outputs: of the pair.
        """
        if not self._compiled or max(len(source) + 1, len(target)) > MAX_TOKENS:
            return []
        width = padded_width(max(len(source) + 1, len(target)))
        others = list(map(explanation.best_alternative, target, outputs.top_tokens.tolist()))
        data = []
        for first in range(0, len(target), _ROWS):
            positions = [min(position, len(target) - 1) for position in range(first, first + _ROWS)]
            batch = explanation.contrast_rows(source, target, positions, [others[p] for p in positions], width)
            measured = {name: compiled(self._run.params, batch) for name, compiled in self._compiled.items()}
            for row, position in enumerate(positions[: len(target) - first]):
                own = explanation.row_of(measured, row)
                pieces = self._run.tokenizer.pieces
                data.append(explanation_data(own, position, others[position], outputs, len(source) + 1, pieces))
        return data


def explain_words(
    workdir: str | pathlib.Path | InspectedRun,
    text: str,
    target: str | None = None,
    measures: Sequence[str] | None = None,
) -> WordExplanation:
    """Explains every word of a translation; a notebook shows the result as the view "Why this word?".

    Args:
      workdir: a run, also one that was started from a Marian or OPUS-MT model.
      text: a source sentence.
      target: its translation; None: that of the run's beam search.
      measures: names in `explanation.MEASURES`; None: all that the model has.

    Raises:
      ValueError: the sentence or its translation has more than `MAX_TOKENS` tokens, or the model lacks a measure.
    """
    run = workdir if isinstance(workdir, InspectedRun) else InspectedRun(workdir)
    explainer = Explainer(run, measures)
    text, target = run.read(text, target, 1)
    ids = run.tokenizer.encode(text)
    tokens = list(run.translate(text)[0][0].tokens) if target is None else run.tokenizer.for_target.encode(target)
    tokens = tokens if tokens[-1:] == [EOS] else [*tokens, EOS]
    if (longest := max(len(ids) + 1, len(tokens))) > MAX_TOKENS:
        raise ValueError(f"{text[:40]!r}: the sentence or its translation has {longest} tokens, more than {MAX_TOKENS}")
    outputs, _ = run.inspect(text, tokens)
    pieces = run.tokenizer.pieces
    view = view_data(pieces([*ids, EOS]), pieces(tokens), outputs, explainer.explain(ids, tokens, outputs))
    return WordExplanation(f"Why this word? {run.name}", view)
