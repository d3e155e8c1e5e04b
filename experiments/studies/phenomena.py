"""What a run has learnt of the generated corpus's grammar: exact translations, and right ones against wrong ones."""

import collections
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.inspected_run import Subject
from experiments.studies.study import Study, percentage
from experiments.web.markdown import table
from transformer.analysis.head_masking import Scales
from transformer.data.batches.forced import ForcedBatch
from transformer.data.corpus import Pair, open_corpus, phenomena
from transformer.data.sources.text_files import read_lines
from transformer.evaluation import bleu, breakdown

_LONG = "long"  # the split of sentences longer than any that were trained on


class Contrast(NamedTuple):
    """A right and a wrong translation of a sentence."""

    kind: str
    source: str
    right: str
    wrong: str


class Questions:
    """Right and wrong translations, put to a model: which is the more probable?

    Args:
      subject: the run.
      contrasts: a sentence may stand in several, with one right and several wrong translations.
    """

    def __init__(self, subject: Subject, contrasts: Sequence[Contrast]) -> None:
        self.contrasts = contrasts
        self._subject = subject
        texts = dict.fromkeys(Pair(each.source, text) for each in contrasts for text in (each.right, each.wrong))
        self._place = {pair: place for place, pair in enumerate(texts)}
        self._batches: Sequence[ForcedBatch] = subject.batches(list(texts)) if texts else []
        self.groups: dict[Pair, list[Contrast]] = {}
        for each in contrasts:
            self.groups.setdefault(Pair(each.source, each.right), []).append(each)

    @classmethod
    def of_coreference(cls, subject: Subject, split: str, count: int) -> "Questions":
        """Those about pronouns, among the first pairs of a split of the generated corpus."""
        return cls(subject, [each for each in generated(subject, split, count) if each.kind == "coreference"])

    def margins(self, scales: Scales | None = None) -> np.ndarray:
        """Of each contrast, log P(right) - log P(wrong), with heads scaled so."""
        nll = self._subject.nll(self._batches, scales)
        return np.array(
            [
                nll[self._place[Pair(each.source, each.wrong)]] - nll[self._place[Pair(each.source, each.right)]]
                for each in self.contrasts
            ]
        )

    def accuracy(self, scales: Scales | None = None) -> float:
        """How many of the sentences have a right translation that is more probable than all wrong ones."""
        margin = dict(zip(self.contrasts, self.margins(scales), strict=True))
        return float(np.mean([all(margin[each] > 0 for each in group) for group in self.groups.values()]))


def generated(subject: Subject, split: str, count: int) -> list[Contrast]:
    """What can be asked about the first pairs of a split of the generated corpus."""
    from transformer.data.grammar.probes import contrasts

    language = subject.spec.data.target_language
    return [Contrast(*each) for index in range(count) for each in contrasts(split, index, language)]


def read_contrasts(path: str) -> list[Contrast]:
    """Lines of source, right and wrong translation, with tabs between; a fourth column names the kind.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line that is not so, or the file is damaged.
    """
    found = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) not in (3, 4) or not all(cells[:3]):
            raise ValueError(
                f"{path}:{number}: {len(cells)} columns; a line has source, right and wrong translation with tabs "
                "between, and maybe a kind"
            )
        if cells[1] == cells[2]:
            raise ValueError(f"{path}:{number}: the right and the wrong translation are the same")
        found.append(Contrast(cells[3] if len(cells) == 4 else "all", *cells[:3]))
    return found


def contrast(subject: Subject, contrasts: Sequence[Contrast], what: str) -> Study:
    """Which of two translations a run finds the more probable."""
    margins = Questions(subject, contrasts).margins()
    by_kind: dict[str, list[float]] = collections.defaultdict(list)
    for each, margin in zip(contrasts, margins.tolist(), strict=True):
        by_kind[each.kind].append(margin)
    rows = [
        [kind, str(len(found)), percentage(sum(margin > 0 for margin in found), len(found)), f"{np.mean(found):.2f}"]
        for kind, found in sorted(by_kind.items())
    ]
    wrong = sorted(zip(margins.tolist(), contrasts, strict=True))[:10]
    lost = [[each.kind, each.source, each.right, each.wrong, f"{margin:.2f}"] for margin, each in wrong if margin <= 0]
    text = (
        f"### Right against wrong translations: {what}\n\nHow often the right one is the more probable, in % with the "
        "95 % interval (Wilson), and by how many nats in the mean.\n\n"
        + table(["kind", "pairs", "right, %", "margin"], rows)
    )
    if lost:
        heads = ["kind", "source", "right", "wrong", "margin"]
        text += f"\nThe most certain mistakes:\n\n{table(heads, lost, 4)}"
    numbers: dict[str, Any] = {
        "kinds": {
            kind: {"pairs": len(found), "right": sum(margin > 0 for margin in found), "margin": float(np.mean(found))}
            for kind, found in sorted(by_kind.items())
        },
        "margins": [
            {**each._asdict(), "margin": margin} for each, margin in zip(contrasts, margins.tolist(), strict=True)
        ],
    }
    return Study("contrast", text, numbers)


def study(subject: Subject, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Phenomena of the generated corpus: contrasts, exact translations by tag, and sentences longer than in training.

    Raises:
      ValueError: the run was not trained on the generated corpus.
    """
    del folder
    if subject.spec.data.source != "grammar":
        raise ValueError(
            f"--study=phenomena needs a run on the generated corpus, not data.source={subject.spec.data.source}; "
            "--contrast=FILE takes sentences of your own"
        )
    asked = contrast(subject, generated(subject, split, len(pairs)), f"the first {len(pairs)} sentences of {split}")
    long = list(open_corpus(subject.spec.data).split(_LONG))[: len(pairs)]
    parts, texts = {}, {}
    for name, chosen in ((split, pairs), (_LONG, long)):
        found = subject.translator(subject.spec.decode).translate([pair.source for pair in chosen])
        texts[name] = [each[0].text for each in found]
        parts[name] = [pair.target for pair in chosen]
    tagged = breakdown.exact_by_tag(phenomena(split, len(pairs)), texts[split], parts[split])
    rows = [
        [part.name, str(part.sentences), percentage(round(part.score * part.sentences / 100), part.sentences)]
        for part in tagged
    ]
    length = {
        name: {
            "sentences": len(parts[name]),
            "bleu": bleu.bleu(texts[name], parts[name]),
            "exact": breakdown.exact(texts[name], parts[name]),
        }
        for name in parts
    }
    longer = [
        [name, str(each["sentences"]), f"{each['bleu']:.2f}", f"{each['exact']:.1f}"] for name, each in length.items()
    ]
    text = "\n".join(
        [
            asked.markdown,
            f"### Translated exactly on {split}, of the sentences with each phenomenon\n",
            table(["phenomenon", "sentences", "exact, %"], rows),
            "### Longer sentences than in training\n",
            table(["split", "sentences", "BLEU", "exact, %"], longer),
        ]
    )
    numbers = {"contrast": asked.numbers, "exact": [part._asdict() for part in tagged], "length": length}
    return Study("phenomena", text, numbers)
