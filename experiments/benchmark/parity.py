"""Checks that an exported model computes the same in Hugging Face's transformers and in CTranslate2.

    python -m experiments.benchmark.parity --workdir=D [--split=test] [--sentences=200]

Exports a run to a temporary folder, then compares each library with this codebase: the logits of the references
(transformers only), and translations with the run's beam size, with its length penalty and without one. Prints one JSON
object per comparison, and a table. Needs the extras `parity`, `interop` and `ctranslate2`.
"""

import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmark.peer_export import export_for_peers
from experiments.runtime import cli
from experiments.web import markdown


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_string("split", None, "split of its corpus; default: its test split")
    flags.DEFINE_integer("sentences", 200, "number of sentences, from the start of the split", lower_bound=1)


def main(args: cli.Args) -> None:
    """Compares and prints."""
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    with cli.runtime_errors(), cli.user_errors(), tempfile.TemporaryDirectory() as folder:
        comparisons = compare(args.workdir, args.split, args.sentences, pathlib.Path(folder))
        for comparison in comparisons:
            print(json.dumps({"benchmark": "parity", **comparison}))
        print(table(comparisons))


def compare(workdir: str, split: str | None, sentences: int, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Translates with every library, first with the run's length penalty, then without one.

    Uses the first sentences of a split (None: the test split) of the run's corpus. The exported models go to `folder`.

    Returns:
      A dict for each library, precision and length penalty. "same" counts equal translations, "bleu" is the library's
      score and "bleu_here" that of this codebase, and "logits" is the largest difference of the logits, or None.
    """
    from experiments.benchmark.peers import ctranslate2_search, hugging_face_search, our_search
    from experiments.runs.workdir import Workdir
    from transformer.data.corpus import open_corpus
    from transformer.evaluation.bleu import bleu
    from transformer.interop.marian.settings import length_penalty

    spec = Workdir(workdir).spec()
    settings = export_for_peers(workdir, split, folder)
    settings |= {"batch_size": spec.decode.batch_size, "beam_size": spec.decode.beam_size}
    pairs = list(open_corpus(spec.data).split(split or spec.data.test_split)[:sentences])
    sources, references = ([pair[side] for pair in pairs] for side in range(2))
    language = spec.data.target_language
    differences = {"transformers": max_logit_difference(workdir, settings["marian"], sources, references)}
    comparisons = []
    for penalty in dict.fromkeys((spec.decode.length_penalty, 0.0)):
        settings |= {"length_penalty": penalty, "length_exponent": length_penalty(penalty)}
        ours = our_search.make_translator(settings)[1](sources)
        translators = (
            ("transformers", "float32", hugging_face_search.make_translator(settings)),
            ("ctranslate2", "float32", ctranslate2_search.make_translator(settings, "float32")),
            ("ctranslate2", "int8", ctranslate2_search.make_translator(settings, "int8")),
        )
        for library, precision, (versions, translate) in translators:
            theirs = translate(sources)
            comparisons.append(
                {
                    "library": library,
                    "version": versions[library],
                    "precision": precision,
                    "beam_size": settings["beam_size"],
                    "length_penalty": penalty,
                    "sentences": len(pairs),
                    "same": sum(our == their for our, their in zip(ours, theirs, strict=True)),
                    "bleu": bleu(theirs, references, language),
                    "bleu_here": bleu(ours, references, language),
                    "logits": differences.get(library),
                }
            )
    return comparisons


def max_logit_difference(workdir: str, marian: str, sources: Sequence[str], references: Sequence[str]) -> float:
    """Returns the largest difference between the logits of this codebase and transformers, with teacher forcing.

    Raises:
      ValueError: transformers' tokenizer returns different token ids.
    """
    import jax.numpy as jnp
    import torch
    import transformers

    from experiments.studies.inspected_run import InspectedRun
    from transformer.data.corpus import Pair
    from transformer.spec import PAD

    run = InspectedRun(workdir)
    tokenizer = transformers.MarianTokenizer.from_pretrained(marian)
    model: Any = transformers.MarianMTModel.from_pretrained(marian).eval()
    largest = 0.0
    for batch in run.batches([Pair(*pair) for pair in zip(sources, references, strict=True)]):
        ids = tokenizer([sources[index] for index in batch.indices])["input_ids"]
        if ids != [[token for token in row if token != PAD] for row in batch.source_BS[: len(batch.indices)].tolist()]:
            raise ValueError("transformers' tokenizer returns different token ids")
        source_BS, input_BT = (jnp.asarray(side) for side in (batch.source_BS, batch.input_BT))
        decoded = run.model.decode(run.model.encode(source_BS), input_BT)
        ours = np.asarray(run.model.logits(decoded.hidden_BTD))
        with torch.inference_mode():
            source, inputs = (torch.as_tensor(side.astype(np.int64)) for side in (batch.source_BS, batch.input_BT))
            theirs = model(input_ids=source, attention_mask=source != PAD, decoder_input_ids=inputs).logits.numpy()
        largest = max(largest, float(np.abs(ours - theirs)[batch.target_BT != PAD].max()))
    return largest


def table(comparisons: Sequence[dict[str, Any]]) -> str:
    """Returns the comparisons as a Markdown table."""
    headers = ("library", "precision", "length penalty", "same translations", "BLEU", "our BLEU", "logits differ by")
    rows = []
    for result in comparisons:
        library, penalty = f"{result['library']} {result['version']}", f"{result['length_penalty']:g}"
        same = f"{result['same']} of {result['sentences']}"
        scores = (f"{result['bleu']:.2f}", f"{result['bleu_here']:.2f}")
        logits = "-" if result["logits"] is None else f"{result['logits']:.1e}"
        rows.append((library, result["precision"], penalty, same, *scores, logits))
    return markdown.table(headers, rows, text_columns=2)


if __name__ == "__main__":
    cli.run(define, main)
