"""Peer: CTranslate2 with an exported model; the second argument is its compute type, float32 or int8.

To install it: `python3 -m venv .venv-peers/ctranslate2 && .venv-peers/ctranslate2/bin/pip install sentencepiece
ctranslate2 numpy`.
"""

import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import ctranslate2
import sentencepiece

from experiments.benchmark.peers import worker


def make_translator(settings: dict[str, Any], compute: str) -> tuple[dict[str, str], Callable[[list[str]], list[str]]]:
    """Returns the library's versions and its translate function; CTranslate2 itself sorts sentences by length."""
    folder = pathlib.Path(settings["ctranslate2"])
    model = ctranslate2.Translator(str(folder), compute_type=compute, intra_threads=os.cpu_count() or 1)
    source, target = (
        sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm")) for side in ("source", "target")
    )

    def translate(lines: list[str]) -> list[str]:
        results = model.translate_batch(
            source.encode(lines, out_type=str),
            max_batch_size=settings["batch_size"],
            beam_size=settings["beam_size"],
            length_penalty=settings["length_exponent"],
        )
        return [target.decode(result.hypotheses[0]) for result in results]

    return {"ctranslate2": ctranslate2.__version__}, translate


if __name__ == "__main__":
    sys.exit(worker.serve_translator(functools.partial(make_translator, compute=sys.argv[2])))
