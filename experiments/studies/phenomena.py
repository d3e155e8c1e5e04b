"""Grammar of the generated corpus: contrastive evaluation, exact translations by phenomenon, and longer sentences."""

import collections
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import Study, format_clustered_share, format_share
from experiments.web.markdown import table
from transformer.analysis.head_masking import Scales
from transformer.data.batches.forced import ForcedBatch
from transformer.data.corpus import Pair, open_corpus, phenomena
from transformer.data.sources.text_files import read_lines
from transformer.data.tokenizers.input_text import is_blank
from transformer.evaluation import bleu, breakdown

_LONG = "long"  # the split of sentences longer than all training sentences


class ContrastiveExample(NamedTuple):
    """A correct and an incorrect translation of a sentence."""

    kind: str
    source: str
    right: str
    wrong: str


class ContrastiveTest:
    """Compares the probabilities that a model assigns to correct and incorrect translations.

    Args:
      examples: several may share a source and its correct translation, with different incorrect ones.
    """

    def __init__(self, run: InspectedRun, examples: Sequence[ContrastiveExample]) -> None:
        self.examples = examples
        self._run = run
        pairs = (Pair(example.source, text) for example in examples for text in (example.right, example.wrong))
        texts = dict.fromkeys(pairs)
        self._index = {pair: index for index, pair in enumerate(texts)}
        self._batches: Sequence[ForcedBatch] = run.batches(list(texts)) if texts else []
        self.by_sentence: dict[Pair, list[ContrastiveExample]] = {}
        for example in examples:
            self.by_sentence.setdefault(Pair(example.source, example.right), []).append(example)

    def margins(self, scales: Scales | None = None) -> np.ndarray:
        """Returns log P(right) - log P(wrong) of each example, with scaled heads."""
        nll = self._run.nll(self._batches, scales)
        right = [self._index[Pair(example.source, example.right)] for example in self.examples]
        wrong = [self._index[Pair(example.source, example.wrong)] for example in self.examples]
        return nll[wrong] - nll[right]

    def accuracy(self, scales: Scales | None = None) -> float:
        """Returns the share of sentences whose correct translation is more probable than all incorrect ones."""
        margin = dict(zip(self.examples, self.margins(scales), strict=True))
        groups = self.by_sentence.values()
        return float(np.mean([all(margin[example] > 0 for example in examples) for examples in groups]))


def generated_examples(run: InspectedRun, split: str, count: int) -> list[ContrastiveExample]:
    """Returns the examples of the first `count` pairs of a split of the generated corpus."""
    from transformer.data.grammar.probes import contrastive_pairs

    language = run.spec.data.target_language
    return [ContrastiveExample(*pair) for index in range(count) for pair in contrastive_pairs(split, index, language)]


def read_examples(path: str) -> list[ContrastiveExample]:
    """Reads lines of source, correct and incorrect translation, separated by tabs; an optional fourth is the kind.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line has another format, or the file is damaged.
    """
    examples = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) not in (3, 4) or any(map(is_blank, cells[:3])):
            columns = "source, right and wrong translation, separated by tabs, and optionally a kind"
            raise ValueError(f"{path}:{number}: {len(cells)} columns; a line has {columns}")
        if cells[1] == cells[2]:
            raise ValueError(f"{path}:{number}: the right and the wrong translation are equal")
        examples.append(ContrastiveExample(cells[3] if len(cells) == 4 else "all", *cells[:3]))
    return examples


def measure_contrasts(run: InspectedRun, examples: Sequence[ContrastiveExample], title: str) -> Study:
    """Measures how often a run assigns the higher probability to the correct translation."""
    margins = ContrastiveTest(run, examples).margins().tolist()
    by_kind: dict[str, dict[Pair, list[float]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for example, margin in zip(examples, margins, strict=True):
        by_kind[example.kind][Pair(example.source, example.right)].append(margin)
    kinds, rows = {}, []
    for kind, sentences in sorted(by_kind.items()):
        group = [margin for of_sentence in sentences.values() for margin in of_sentence]
        right, mean = sum(margin > 0 for margin in group), float(np.mean(group))
        kinds[kind] = {"pairs": len(group), "sentences": len(sentences), "right": right, "margin": mean}
        shares = [(sum(margin > 0 for margin in of_sentence), len(of_sentence)) for of_sentence in sentences.values()]
        rows.append([kind, str(len(group)), str(len(sentences)), format_clustered_share(shares), f"{mean:.2f}"])
    text = (
        f"### Correct and incorrect translations: {title}\n\nHow often the correct translation is more probable, in % "
        "with the 95 % confidence interval (Wilson; the pairs of a sentence form a cluster), and the mean margin in "
        "nats.\n\n" + table(["kind", "pairs", "sentences", "right, %", "margin"], rows)
    )
    lowest = sorted(zip(margins, examples, strict=True))[:10]
    errors = [[*example, f"{margin:.2f}"] for margin, example in lowest if margin <= 0]
    if errors:
        text += f"\nThe largest errors:\n\n{table(['kind', 'source', 'right', 'wrong', 'margin'], errors, 4)}"
    by_example = [{**example._asdict(), "margin": margin} for example, margin in zip(examples, margins, strict=True)]
    return Study("contrast", text, {"kinds": kinds, "margins": by_example})


def measure_phenomena(run: InspectedRun, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Measures contrasts, exact translations by phenomenon, and translations of sentences longer than in training.

    Raises:
      ValueError: the run was not trained on the generated corpus.
    """
    del folder
    run.require_generated("phenomena", "; --contrast=FILE evaluates your own sentences")
    title = f"the first {len(pairs)} sentences of {split}"
    contrasts = measure_contrasts(run, generated_examples(run, split, len(pairs)), title)
    long_pairs = list(open_corpus(run.spec.data).split(_LONG))[: len(pairs)]
    references, texts = {}, {}
    for name, split_pairs in ((split, pairs), (_LONG, long_pairs)):
        translations = run.translator(run.spec.decode).translate([pair.source for pair in split_pairs])
        texts[name] = [best.text for best, *_ in translations]
        references[name] = [pair.target for pair in split_pairs]
    by_tag = breakdown.exact_match_by_tag(phenomena(split, len(pairs)), texts[split], references[split])
    exact_rows = [[tag, str(count), format_share(round(score * count / 100), count)] for tag, count, score in by_tag]
    by_length, length_rows = {}, []
    for name, expected in references.items():
        score = bleu.bleu(texts[name], expected, run.spec.data.target_language)
        exact_share = breakdown.exact_match(texts[name], expected)
        by_length[name] = {"sentences": len(expected), "bleu": score, "exact": exact_share}
        length_rows.append([name, str(len(expected)), f"{score:.2f}", f"{exact_share:.1f}"])
    exact_table = table(["phenomenon", "sentences", "exact, %"], exact_rows)
    length_table = table(["split", "sentences", "BLEU", "exact, %"], length_rows)
    text = (
        f"{contrasts.markdown}\n### Exact translations on {split} by phenomenon\n\n{exact_table}\n"
        f"### Sentences longer than in training\n\n{length_table}"
    )
    values = {"contrast": contrasts.values, "exact": [subset._asdict() for subset in by_tag], "length": by_length}
    return Study("phenomena", text, values)
