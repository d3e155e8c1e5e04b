"""Sentences looked at one by one: pictures of every attention, and the page."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.studies.inspected_run import Subject
from experiments.web.attention_page import Sentence, Shown, attention_page
from transformer.analysis import attention_plots, subwords
from transformer.data.corpus import open_corpus
from transformer.data.sources.text_files import read_lines
from transformer.spec import EOS


class Chosen(NamedTuple):
    """A sentence to look at, and its translation if one is known."""

    source: str
    reference: str | None


def chosen(subject: Subject, asked: Mapping[str, Any]) -> list[Chosen]:
    """The sentences that the flags --text, --file or --split name, at most --pictures of them.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, or has another number of lines than its reference; no such split.
    """
    count = asked["pictures"]
    if asked["text"]:
        return [Chosen(asked["text"], asked["reference"])]
    if asked["file"]:
        sources = read_lines(asked["file"])
        references = read_lines(asked["reference"]) if asked["reference"] else [None] * len(sources)
        if len(sources) != len(references):
            raise ValueError(f"{asked['file']} has {len(sources)} lines but {asked['reference']} has {len(references)}")
        return [Chosen(*each) for each in zip(sources, references, strict=True)][:count]
    pairs = open_corpus(subject.spec.data).split(asked["split"])[:count]
    return [Chosen(pair.source, pair.target) for pair in pairs]


def show(
    subjects: Sequence[Subject], sentences: Sequence[Chosen], folder: pathlib.Path, beam_size: int | None = None
) -> list[pathlib.Path]:
    """Draws the attention of each sentence and writes attention.html for all; returns the files.

    A model without attention gets a page with its translations' probabilities, and no pictures.

    Args:
      subjects: runs, side by side in the page; the first one's attention is drawn.
      sentences: what they translate.
      folder: for the files.
      beam_size: hypotheses a sentence; default: as each is configured.
    """
    shown, written = [], []
    for number, each in enumerate(sentences):
        readings = [one for subject in subjects for one in _shown(subject, each, beam_size, len(subjects) > 1)]
        shown.append(Sentence(each.source, readings))
        one = readings[0]
        source, target = _labels(one.source), _labels(one.target)
        rows = {"encoder": source, "decoder": target, "cross": target}
        columns = {"encoder": source, "decoder": ["<s>", *target[:-1]], "cross": source}
        place = folder if len(sentences) == 1 else folder / f"sentence{number + 1}"
        written += (
            attention_plots.draw_all(one.reading.attention, rows, columns, place) if one.reading.attention else []
        )
    page = folder / "attention.html"
    names = " and ".join(run_name(subject) for subject in subjects)
    page.write_text(attention_page(f"Attention in {names}", shown), encoding="utf-8")
    return [*written, page]


def run_name(subject: Subject) -> str:
    """What a run is called: its folder."""
    return subject.workdir.path.absolute().name


def _labels(pieces: Sequence[str]) -> list[str]:
    return [subwords.text([piece]) for piece in pieces]


def _shown(subject: Subject, chosen: Chosen, beam_size: int | None, named: bool) -> list[Shown]:
    """A run's own translation and the reference, as it reads them."""
    found = subject.translate(chosen.source, beam_size)
    beam = [{"text": each.text, "score": round(each.score, 4), "rank": round(rank, 4)} for each, rank in found]
    targets = {"translation": list(found[0][0].tokens)}
    if chosen.reference is not None:
        targets["reference"] = [*subject.tokenizer.encode(chosen.reference), EOS]
    pieces, shown = subject.tokenizer.pieces, []
    for title, target in targets.items():
        reading, inside = subject.read(chosen.source, target)
        shown.append(
            Shown(
                f"{run_name(subject)}: {title}" if named else title,
                pieces([*subject.tokenizer.encode(chosen.source), EOS]),
                pieces(target),
                reading,
                [pieces(row) for row in reading.likely.tolist()],
                inside,
                subject.spec.model.causal_mask,
                beam,
            )
        )
    return shown
