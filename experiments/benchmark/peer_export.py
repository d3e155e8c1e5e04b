"""Exports a run's model to the formats of the decoding peers."""

import pathlib
from typing import Any


def export_for_peers(workdir: str, split: str | None, folder: pathlib.Path) -> dict[str, Any]:
    """Exports a run's model for every decoding peer, and writes the source sentences of a split.

    Returns:
      Search settings of the peers: paths of the models and of the source text, which lie in `folder`, and the length
      penalty. A split of None is the test split of the run's corpus.
    """
    from experiments.runs.exporting import export
    from experiments.runs.workdir import Workdir
    from experiments.runtime.subprocesses import call
    from transformer.data.corpus import open_corpus
    from transformer.interop.marian.settings import length_penalty

    spec = Workdir(workdir).spec()
    for library in ("marian", "ctranslate2"):
        call(export, workdir, library, str(folder / library))
    pairs = open_corpus(spec.data).split(split or spec.data.test_split)
    (folder / "source").write_text("".join(f"{pair.source}\n" for pair in pairs), encoding="utf-8")
    return {
        "workdir": str(pathlib.Path(workdir).resolve()),
        "marian": str(folder / "marian"),
        "ctranslate2": str(folder / "ctranslate2"),
        "source": str(folder / "source"),
        "folder": str(folder),
        "length_penalty": spec.decode.length_penalty,
        "length_exponent": length_penalty(spec.decode.length_penalty),
    }
