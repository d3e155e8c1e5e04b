"""How well cross-attention aligns words, by layer and head, against the generated corpus's gold alignments."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments import head_figures
from experiments.report import table
from experiments.studied import Study, head_name
from experiments.subject import Subject
from transformer.analysis import alignment
from transformer.analysis.words import join, of_words
from transformer.data.corpus import Pair

# A target word's rows: those that predict its pieces, or those that have just read them (Chen et al. 2020).
_WHEN = ("predicting", "having read")


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
    links: dict[tuple[str, int, str], list[tuple[alignment.Links, alignment.Links]]] = {}
    left_out = 0
    for index, one, attention in subject.attention(subject.batches(pairs)):
        try:
            gold, rows, columns = _gold(subject, split, index, one.source_BS[:-1], one.target_BT[:-1])
        except ValueError:  # a character that the vocabulary does not have
            left_out += 1
            continue
        for name in names:
            for head, weights in enumerate([*attention[name], attention[name].mean(axis=0)]):
                # Row t predicts token t, and row t + 1 has just read it; the last row is that of "</s>".
                for when, part in zip(_WHEN, (weights[:-1], weights[1:]), strict=True):
                    found = alignment.strongest(join(part, rows, columns), columns.shape[0] - 1)
                    links.setdefault((name, head, when), []).append((found, gold))
    rates = {key: alignment.compare(each).error_rate for key, each in links.items()}
    return _written(subject, split, len(pairs), left_out, rates, names, folder)


def _gold(
    subject: Subject, split: str, index: int, source: np.ndarray, target: np.ndarray
) -> tuple[alignment.Links, np.ndarray, np.ndarray]:
    """Gold links of a pair as (target word, source word), and pieces in words; "</s>" is the last source word."""
    from transformer.data import grammar

    example = grammar.generate(split, index)
    from_french = subject.spec.data.source_language == "fr"
    words = (example.french_words, example.english_words)[:: 1 if from_french else -1]
    pieces = subject.tokenizer.pieces
    columns = of_words(pieces(source.tolist()), words[0])
    columns = np.pad(columns, ((0, 1), (0, 1)))
    columns[-1, -1] = 1
    gold = frozenset((j, i) if from_french else (i, j) for i, j in example.alignment)
    return gold, of_words(pieces(target.tolist()), words[1]), columns


def _written(
    subject: Subject,
    split: str,
    count: int,
    left_out: int,
    rates: dict[tuple[str, int, str], float],
    names: Iterable[str],
    folder: pathlib.Path,
) -> Study:
    rows, numbers, grid = [], {}, {}
    for name in names:
        heads = subject.head_counts[name]
        for head in [*range(heads), heads] if heads > 1 else [0]:
            shown = head_name(name, head) if head < heads else f"{head_name(name, 0)[:-2]}, mean of heads"
            numbers[shown] = {when: rates[name, head, when] for when in _WHEN}
            rows.append([shown, *(f"{100 * each:.1f}" for each in numbers[shown].values())])
        grid[name] = np.array([100 * min(rates[name, head, when] for when in _WHEN) for head in range(heads)])
    picture = head_figures.grid(grid, folder / "alignment_error", "alignment error rate, %, the better of the two ways")
    best = min(numbers, key=lambda each: min(numbers[each].values()))
    about = (
        f"AER in % of {count - left_out} sentences{f' ({left_out} left out)' if left_out else ''}: each target word is "
        "linked with the source word that it looks at most, when it is being predicted, or when it has just been read. "
        f"Lowest: {best}."
    )
    text = f"### Alignment error rate on {split}\n\n{about}\n\n{table(['head', *_WHEN], rows)}"
    found: dict[str, Any] = {"split": split, "sentences": count - left_out, "left_out": left_out, "error_rate": numbers}
    return Study("alignment", text, found, [(picture, f"alignment error rate of every head on {split}, %")])
