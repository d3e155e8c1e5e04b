"""Word alignment by cross-attention, by layer and head, compared with the gold alignments of the generated corpus."""

import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.runs.alignment_error import READOUTS, WordAlignment
from experiments.studies.figures import draw_head_grid
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import Study, attention_name, head_name
from experiments.web.markdown import table
from transformer.data.corpus import Pair


def measure_alignment(run: InspectedRun, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Measures the alignment error rate of every head, and of the mean over the heads of each layer.

    Raises:
      ValueError: the run was not trained on the generated corpus, or its model has no cross-attention.
    """
    run.require_generated("alignment")
    names = [name for name in run.head_counts if name.startswith("cross/")]
    if not names:
        raise ValueError(f"--study=alignment: a {run.spec.model.architecture} model has no cross-attention")
    alignment = WordAlignment(run.spec.data, run.tokenizer, split)
    for index, pair, attention in run.attention(run.batches(pairs)):
        alignment.add(index, pair.source_BS, pair.target_BT, {name: attention[name] for name in names})
    rates = alignment.rates()
    by_head: dict[str, dict[str, float]] = {}
    grid: dict[str, np.ndarray] = {}
    for name in names:
        heads = run.head_counts[name]
        for head in [*range(heads), heads] if heads > 1 else [0]:
            label = head_name(name, head) if head < heads else f"{attention_name(name)}, mean of heads"
            by_head[label] = {readout: rates[name, head, readout] for readout in READOUTS}
        grid[name] = np.array([100 * min(rates[name, head, readout] for readout in READOUTS) for head in range(heads)])
    figure = draw_head_grid(grid, folder / "alignment_error", "alignment error rate, %, better of both readouts")
    sentences = len(pairs) - alignment.skipped
    values = {"split": split, "sentences": sentences, "left_out": alignment.skipped, "error_rate": by_head}
    text = _text(split, sentences, alignment.skipped, by_head)
    return Study("alignment", text, values, [(figure, f"Alignment error rate of every head on {split}, %")])


def _text(split: str, sentences: int, skipped: int, by_head: dict[str, dict[str, float]]) -> str:
    best = min(by_head, key=lambda name: min(by_head[name].values()))
    rows = [[name, *(f"{100 * rate:.1f}" for rate in rates.values())] for name, rates in by_head.items()]
    about = (
        f"AER in % on {sentences} sentences{f' ({skipped} skipped)' if skipped else ''}. Each target word is linked to "
        f"the source word of largest weight, either when it is predicted or after it has been read. Lowest: {best}."
    )
    return f"### Alignment error rate on {split}\n\n{about}\n\n{table(['head', *READOUTS], rows)}"
