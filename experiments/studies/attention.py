"""Attention of single sentences: figures of every attention, and the attention page."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.studies.explanations import Explainer
from experiments.studies.inspected_run import InspectedRun
from experiments.web.attention_page import AnalyzedPair, AnalyzedSentence, attention_page
from transformer.analysis import attention_plots, subwords
from transformer.data.corpus import open_corpus
from transformer.data.sources.text_files import read_lines
from transformer.spec import EOS

SentenceChoice = tuple[str, str | None]  # a sentence to analyse, and its reference if there is one


def choose_sentences(run: InspectedRun, args: Any) -> list[SentenceChoice]:
    """Returns the sentences of the flags --text, --file or --split, at most --pictures of them.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, two files have different numbers of lines, or there is no such split.
    """
    if args.text:
        return [(args.text, args.reference)]
    if args.file:
        sources = read_lines(args.file)
        references = read_lines(args.reference) if args.reference else [None] * len(sources)
        if len(sources) != len(references):
            raise ValueError(f"{args.file} has {len(sources)} lines but {args.reference} has {len(references)}")
        return list(zip(sources, references, strict=True))[: args.pictures]
    pairs = open_corpus(run.spec.data).split(args.split)[: args.pictures]
    return [(pair.source, pair.target) for pair in pairs]


def write_attention(
    runs: Sequence[InspectedRun],
    sentences: Sequence[SentenceChoice],
    folder: pathlib.Path,
    beam_size: int | None,
    explain: bool = True,
) -> list[pathlib.Path]:
    """Draws the attention of each sentence, and writes attention.html with all sentences; returns the files.

    A model without attention gets a page with the probabilities of its translations, and no figures.

    Args:
      runs: the page shows all of them; the figures are of the first.
      beam_size: hypotheses per sentence; None: `decode.beam_size` of each run.
      explain: whether the page explains each target token.
    """
    analyzed, files = [], []
    explainers = [Explainer(run, None if explain else ()) for run in runs]
    for number, sentence in enumerate(sentences):
        pairs = [
            pair
            for run, explainer in zip(runs, explainers, strict=True)
            for pair in _analyze(run, explainer, run.read(*sentence, number + 1), beam_size, len(runs) > 1)
        ]
        analyzed.append(AnalyzedSentence(sentence[0], pairs))
        subfolder = folder if len(sentences) == 1 else folder / f"sentence{number + 1}"
        files += _draw(pairs[0], subfolder)
    page = folder / "attention.html"
    names = " and ".join(run.name for run in runs)
    page.write_text(attention_page(f"Attention in {names}", analyzed), encoding="utf-8")
    return [*files, page]


def _draw(pair: AnalyzedPair, folder: pathlib.Path) -> list[pathlib.Path]:
    attention = pair.forced_decoding.attention
    if not attention:
        return []
    source, target = subwords.piece_texts(pair.source), subwords.piece_texts(pair.target)
    rows = {"encoder": source, "decoder": target, "cross": target}
    columns = {"encoder": source, "decoder": ["<s>", *target[:-1]], "cross": source}
    return attention_plots.draw_attention(attention, rows, columns, folder)


def _analyze(
    run: InspectedRun, explainer: Explainer, sentence: SentenceChoice, beam_size: int | None, prefix: bool
) -> list[AnalyzedPair]:
    """Analyses a run's translation of a sentence and the reference; `prefix` puts the run's name into the titles."""
    text, reference = sentence
    hypotheses = run.translate(text, beam_size)
    targets = {"translation": list(hypotheses[0][0].tokens)}
    if reference is not None:
        targets["reference"] = [*run.tokenizer.for_target.encode(reference), EOS]
    ranked = [{"text": hyp.text, "score": round(hyp.score, 4), "rank": round(rank, 4)} for hyp, rank in hypotheses]
    pieces, causal, pairs = run.tokenizer.pieces, run.spec.model.causal_mask, []
    ids = run.tokenizer.encode(text)
    source = pieces([*ids, EOS])
    for name, target in targets.items():
        title = f"{run.name}: {name}" if prefix else name
        outputs, traces = run.inspect(text, target)
        alternatives = [pieces(row) for row in outputs.top_tokens.tolist()]
        explained = explainer.explain(ids, target, outputs)
        arrays = (outputs, alternatives, traces)
        pairs.append(AnalyzedPair(title, source, pieces(target), *arrays, causal, ranked, explained))
    return pairs
