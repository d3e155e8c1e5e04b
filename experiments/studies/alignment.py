"""How well cross-attention aligns words, by layer and head, against the generated corpus's gold alignments."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments.runs.alignment_error import WHEN, Rates, WordAlignment
from experiments.studies import figures
from experiments.studies.inspected_run import Subject
from experiments.studies.study import Study, attention_name, head_name
from experiments.web.markdown import table
from transformer.data.corpus import Pair


def study(subject: Subject, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Alignment error rate of every head, and of the mean over each layer's heads.

    Raises:
      ValueError: the run was not trained on the generated corpus, or its model has no cross-attention.
    """
    if subject.spec.data.source != "grammar":
        raise ValueError(
            f"--study=alignment needs a run on the generated corpus, which has gold alignments, not "
            f"data.source={subject.spec.data.source}"
        )
    names = [name for name in subject.head_counts if name.startswith("cross/")]
    if not names:
        raise ValueError(f"--study=alignment: a {subject.spec.model.architecture} model has no cross-attention")
    found = WordAlignment(subject.spec.data, subject.tokenizer, split)
    for index, one, attention in subject.attention(subject.batches(pairs)):
        found.add(index, one.source_BS, one.target_BT, {name: attention[name] for name in names})
    return _written(subject, split, len(pairs), found.left_out, found.rates(), names, folder)


def _written(
    subject: Subject,
    split: str,
    count: int,
    left_out: int,
    rates: Rates,
    names: Iterable[str],
    folder: pathlib.Path,
) -> Study:
    rows, numbers, grid = [], {}, {}
    for name in names:
        heads = subject.head_counts[name]
        for head in [*range(heads), heads] if heads > 1 else [0]:
            shown = head_name(name, head) if head < heads else f"{attention_name(name)}, mean of heads"
            numbers[shown] = {when: rates[name, head, when] for when in WHEN}
            rows.append([shown, *(f"{100 * each:.1f}" for each in numbers[shown].values())])
        grid[name] = np.array([100 * min(rates[name, head, when] for when in WHEN) for head in range(heads)])
    picture = figures.grid(grid, folder / "alignment_error", "alignment error rate, %, the better of the two ways")
    best = min(numbers, key=lambda each: min(numbers[each].values()))
    about = (
        f"AER in % of {count - left_out} sentences{f' ({left_out} left out)' if left_out else ''}: each target word is "
        "linked with the source word that it looks at most, when it is being predicted, or when it has just been read. "
        f"Lowest: {best}."
    )
    text = f"### Alignment error rate on {split}\n\n{about}\n\n{table(['head', *WHEN], rows)}"
    found: dict[str, Any] = {"split": split, "sentences": count - left_out, "left_out": left_out, "error_rate": numbers}
    return Study("alignment", text, found, [(picture, f"alignment error rate of every head on {split}, %")])
