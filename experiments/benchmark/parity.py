"""Whether an exported model is the same model in Hugging Face's transformers and in CTranslate2.

    python -m experiments.benchmark.parity --workdir=D [--split=test] [--sentences=200]

Exports a run to a temporary folder, then compares what each library finds with what is found here: logits on references
(transformers alone shows them), and translations with the run's beam size, its length penalty and none. Prints a JSON
object a comparison, and a table. Needs the extras `parity`, `interop` and `ctranslate2`.
"""

import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.runtime import cli


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_string("split", None, "of its corpus; default: its test split")
    flags.DEFINE_integer("sentences", 200, "how many of its first sentences", lower_bound=1)


def main(args: cli.Args) -> None:
    """Compares and prints."""
    if not args.workdir:
        cli.refuse("--workdir is needed: the folder of a run")
    with cli.failures(), cli.mistakes(), tempfile.TemporaryDirectory() as folder:
        found = compare(args.workdir, args.split, args.sentences, pathlib.Path(folder))
        for each in found:
            print(json.dumps({"benchmark": "parity", **each}))
        print(table(found))


def compare(workdir: str, split: str | None, sentences: int, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Translates with every library, first with the run's length penalty, then with none.

    Args:
      workdir: of the run.
      split: of its corpus; None is its test split.
      sentences: how many of it.
      folder: for what is exported.

    Returns:
      A dict for each library, precision and length penalty: "library", "version", "precision", "length_penalty",
      "same" translations of "sentences", "bleu" and "bleu_here", and "logits", the largest difference, or None.
    """
    from experiments.benchmark import decode
    from experiments.benchmark.peers import ctranslate2_search, hugging_face_search, our_search
    from experiments.runs.workdir import Workdir
    from transformer.data.corpus import open_corpus
    from transformer.evaluation.bleu import bleu
    from transformer.interop.marian.settings import length_penalty

    spec = Workdir(workdir).spec()
    settings = decode.prepared(workdir, split, folder)
    settings |= {"batch_size": spec.decode.batch_size, "beam_size": spec.decode.beam_size}
    pairs = list(open_corpus(spec.data).split(split or spec.data.test_split)[:sentences])
    sources, references = ([pair[side] for pair in pairs] for side in range(2))
    differences = {"transformers": logits_apart(workdir, settings["marian"], sources, references)}
    found = []
    for penalty in dict.fromkeys((spec.decode.length_penalty, 0.0)):
        settings |= {"length_penalty": penalty, "length_exponent": length_penalty(penalty)}
        here = our_search.make(settings)[1](sources)
        for library, precision, (versions, translate) in (
            ("transformers", "float32", hugging_face_search.make(settings)),
            ("ctranslate2", "float32", ctranslate2_search.make(settings, "float32")),
            ("ctranslate2", "int8", ctranslate2_search.make(settings, "int8")),
        ):
            there = translate(sources)
            found.append(
                {
                    "library": library,
                    "version": versions[library],
                    "precision": precision,
                    "beam_size": settings["beam_size"],
                    "length_penalty": penalty,
                    "sentences": len(pairs),
                    "same": sum(one == other for one, other in zip(here, there, strict=True)),
                    "bleu": bleu(there, references),
                    "bleu_here": bleu(here, references),
                    "logits": differences.get(library),
                }
            )
    return found


def logits_apart(workdir: str, marian: str, sources: Sequence[str], references: Sequence[str]) -> float:
    """The largest difference of a logit between here and transformers, each target token given those before it.

    Raises:
      ValueError: transformers' tokenizer finds other tokens.
    """
    import jax.numpy as jnp
    import torch
    import transformers

    from experiments.studies.inspected_run import Subject
    from transformer.data.corpus import Pair
    from transformer.spec import PAD

    subject = Subject(workdir)
    tokenizer = transformers.MarianTokenizer.from_pretrained(marian)
    model: Any = transformers.MarianMTModel.from_pretrained(marian).eval()
    largest = 0.0
    for batch in subject.batches([Pair(*each) for each in zip(sources, references, strict=True)]):
        ids = tokenizer([sources[index] for index in batch.indices])["input_ids"]
        if ids != [[token for token in row if token != PAD] for row in batch.source_BS[: len(batch.indices)].tolist()]:
            raise ValueError("transformers' tokenizer finds other tokens")
        source_BS, input_BT = (jnp.asarray(each) for each in (batch.source_BS, batch.input_BT))
        decoded = subject.model.decode(subject.model.encode(source_BS), input_BT)
        ours = np.asarray(subject.model.logits(decoded.hidden_BTD))
        with torch.inference_mode():
            source, inputs = (torch.as_tensor(each.astype(np.int64)) for each in (batch.source_BS, batch.input_BT))
            theirs = model(input_ids=source, attention_mask=source != PAD, decoder_input_ids=inputs).logits.numpy()
        largest = max(largest, float(np.abs(ours - theirs)[batch.target_BT != PAD].max()))
    return largest


def table(found: Sequence[dict[str, Any]]) -> str:
    """What was found, in Markdown."""
    lines = [
        "| library | precision | length penalty | same translations | BLEU there, here | logits apart by |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['library']} {each['version']} | {each['precision']} | {each['length_penalty']:g} | "
        f"{each['same']} of {each['sentences']} | {each['bleu']:.2f}, {each['bleu_here']:.2f} | "
        f"{'-' if each['logits'] is None else format(each['logits'], '.1e')} |"
        for each in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(define, main)
