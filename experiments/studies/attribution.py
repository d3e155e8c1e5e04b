"""Which words a score depends on, by several methods, and how far the methods can be trusted."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.runs.alignment_error import WordAlignment
from experiments.studies.contrasts import Contrast, SourcePair, contrast_batches
from experiments.studies.figures import draw_heat_map
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import CaptionedFigure, Study
from experiments.web.markdown import format_mean, table
from transformer.analysis import attribution, patching
from transformer.analysis.subwords import piece_texts
from transformer.data.corpus import open_corpus
from transformer.evaluation.confidence import Mean, mean, ratio_of_means
from transformer.spec import BOS, EOS

_ROWS = 40
_ALIGNED = 30  # sentences whose alignment is measured: every target token is attributed by every method
_REFERENCE = "occlusion"

_Method = Callable[[Any, patching.ContrastBatch], attribution.Attribution]  # compiled, of parameters and a batch


def measure_attribution(
    run: InspectedRun, kinds: Mapping[str, Sequence[SourcePair]], split: str, folder: pathlib.Path
) -> Study:
    """Attributes the contrasts of each kind by every method, and compares the methods.

    Args:
      run: the run.
      kinds: contrasts by kind; their other sources do not matter.
      split: split whose first sentences are aligned, if the run's corpus has gold alignments.
      folder: for figures.
    """
    methods = [name for name in attribution.METHODS if run.head_counts or name not in attribution.ATTENTION_METHODS]
    error_rates = _alignment_error(run, methods, split) if run.is_generated else {}
    values: dict[str, Any] = {"alignment_error": error_rates}
    parts, figures = [], list[CaptionedFigure]()
    compiled = {name: _compile(run, name, patching.log_odds) for name in methods}
    for kind, contrasts in kinds.items():
        results = {name: _attribute(run, contrasts, compiled[name]) for name in methods}
        measured = {name: _compare(results[name], results[_REFERENCE]) for name in methods}
        for name, (ratio, half_width) in _completeness(run, contrasts, results).items():
            measured[name]["complete"] = [ratio, half_width]
        example = _example(run, contrasts[0], results)
        values[kind] = {"contrasts": len(contrasts), "methods": measured, "example": example}
        parts.append(f"### Attribution: {kind}\n\n{_about(len(contrasts))}\n\n{_table(measured, error_rates)}")
        figures.append(_draw(example, folder / f"attribution_{kind}"))
    return Study("attribution", "\n".join(parts), values, figures)


def _compile(run: InspectedRun, name: str, score: attribution.Score) -> _Method:
    method = attribution.METHODS[name]
    return run.jit(lambda params, batch: method(run.system.model(params), batch, score))


def _attribute(run: InspectedRun, contrasts: Sequence[SourcePair], method: _Method) -> list[np.ndarray]:
    """Returns the contributions of the tokens of each contrast: those of the source, then those of the prefix."""
    rows = list[np.ndarray]()
    batches = contrast_batches(contrasts, min(_ROWS, len(contrasts)))
    for batch in batches:
        rows += [np.concatenate(sides) for sides in zip(*map(np.asarray, method(run.params, batch)), strict=True)]
    width = batches[0].source_BS.shape[1]
    lengths = [(len(item.contrast.source), len(item.contrast.prefix)) for item in contrasts]
    return [
        np.concatenate([row[:source], row[width : width + prefix]])
        for row, (source, prefix) in zip(rows, lengths, strict=False)  # the last batch is filled up
    ]


def _compare(results: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns the mean rank correlation of magnitudes with the reference, and how often both have the same largest."""
    from scipy import stats  # slow to import

    magnitudes = [(np.abs(own), np.abs(other)) for own, other in zip(results, reference, strict=True)]
    # A method that gives all tokens the same has no ranks.
    correlations = [
        float(stats.spearmanr(*both).statistic)  # pyright: ignore[reportAttributeAccessIssue]
        for both in magnitudes
        if np.ptp(both[0]) and np.ptp(both[1])
    ]
    correlation = mean(correlations) if correlations else Mean(0.0, None, 0)
    same = [float(own.argmax() == other.argmax()) for own, other in magnitudes]
    return {"rank_correlation": [correlation.value, correlation.half_width], "same_largest": float(np.mean(same))}


def _completeness(
    run: InspectedRun, contrasts: Sequence[SourcePair], results: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Returns by method the mean |sum of contributions - change of the score| as a share of the mean |change|."""

    def change(params: Any, batch: patching.ContrastBatch) -> jax.Array:
        model = run.system.model(params)
        without = attribution.score_without_tokens(model, batch, patching.log_odds)
        return patching.score(model, batch) - without

    compiled = run.jit(change)
    batches = contrast_batches(contrasts, min(_ROWS, len(contrasts)))
    changes = np.concatenate([np.asarray(compiled(run.params, batch)) for batch in batches])[: len(contrasts)]
    errors = {}
    for name, rows in results.items():
        if name != "attention rollout":  # it is not in the units of the score
            error = np.abs(np.array([row.sum() for row in rows]) - changes)
            ratio, half_width = ratio_of_means(error, np.abs(changes))
            errors[name] = float(ratio), float(half_width)
    return errors


def _alignment_error(run: InspectedRun, methods: Sequence[str], split: str) -> dict[str, float]:
    """Returns the alignment error rate of the source word of largest magnitude for each target word, by method."""
    sentences, rows = [], list[SourcePair]()
    for pair in run.system.read_pairs(open_corpus(run.spec.data).split(split)[:_ALIGNED]):
        source = (*run.tokenizer.encode(pair.source), EOS)
        target = (*run.tokenizer.for_target.encode(pair.target), EOS)
        sentences.append((source, target))
        for place, token in enumerate(target):
            rows.append(SourcePair(Contrast("token", source, (BOS, *target[:place]), token, token), source, (), {}))
    rates = {}
    for name in methods:
        alignment = WordAlignment(run.spec.data, run.tokenizer, split)
        results = iter(_attribute(run, rows, _compile(run, name, patching.log_probability)))
        for index, (source, target) in enumerate(sentences):
            weights = np.stack([np.abs(next(results)[: len(source)]) for _ in target])
            alignment.add(index, np.array(source), np.array(target), {name: weights[None]})
        rates[name] = alignment.rates()[name, 0, "predicting"]
    return rates


def _example(run: InspectedRun, pair: SourcePair, results: Mapping[str, Sequence[np.ndarray]]) -> dict[str, Any]:
    """Returns the first contrast with the contributions of its tokens by method."""
    contrast, pieces = pair.contrast, run.tokenizer.pieces
    right, wrong = piece_texts(pieces([contrast.right, contrast.wrong]))
    length = len(contrast.source)
    return {
        "source": piece_texts(pieces(list(contrast.source))),
        "prefix": piece_texts(pieces(list(contrast.prefix))),
        "right": right,
        "wrong": wrong,
        "methods": {
            name: {"source": rows[0][:length].tolist(), "prefix": rows[0][length:].tolist()}
            for name, rows in results.items()
        },
    }


def _about(count: int) -> str:
    return (
        f"log P(right) - log P(wrong) of {count} contrasts, attributed to the tokens of the source and of the prefix. "
        "Incomplete: mean |sum of contributions - change of the score without all tokens|, as a share of the mean "
        "change; 0 is complete, and only integrated gradients promise it. Agreement with occlusion, which really "
        "removes a token: the mean rank correlation of magnitudes, and how often the same token is largest. AER: "
        "alignment error rate in % if each target word is linked to the source word of largest magnitude."
    )


def _table(measured: Mapping[str, dict[str, Any]], error_rates: Mapping[str, float]) -> str:
    rows = []
    for name, result in measured.items():
        correlation = format_mean(Mean(*result["rank_correlation"], seeds=0), 2)
        incomplete = f"{result['complete'][0]:.3f}" if "complete" in result else "–"
        rate = f"{100 * error_rates[name]:.1f}" if name in error_rates else "–"
        rows.append([name, incomplete, correlation, f"{100 * result['same_largest']:.0f} %", rate])
    return table(["method", "incomplete", "rank correlation", "same largest", "AER"], rows)


def _draw(example: dict[str, Any], path: pathlib.Path) -> CaptionedFigure:
    """Draws the contributions of the source's tokens; the largest of each method has magnitude 1."""
    rows = {name: np.array(sides["source"]) for name, sides in example["methods"].items()}
    grid = np.stack([row / max(np.abs(row).max(), 1e-9) for row in rows.values()])
    title = f"what {example['right']} over {example['wrong']} depends on, by method"
    return draw_heat_map(grid, list(rows), example["source"], path, title), title
