"""Finished cells as small files for version control: result, metrics, translations of the first split, statistics.

A folder of such files continues a sweep on another machine, and is enough for its report. References are not in it,
because a corpus may not be redistributed; the statistics of sentences take their place.
"""

import json
import lzma
import pathlib
from typing import Any

import numpy as np

from experiments.runs.workdir import Workdir, fill_defaults, write_json
from experiments.sweeps.cells import Cell, folder_name, without_machine
from experiments.sweeps.differences import METRICS, SentenceScores, sentence_scores
from transformer.data.sources.text_files import read_lines
from transformer.evaluation.sentence_statistics import from_columns, to_columns

SENTENCES = "sentences.json"  # in the folder of a cell: statistics of its translations
_TRAIN_EVENTS = 50  # at most, of metrics.jsonl


def pack(cell: Cell, folder: pathlib.Path) -> pathlib.Path:
    """Writes a finished cell to FOLDER/VARIANT-SEED.json.xz; returns the file.

    Raises:
      FileNotFoundError: the cell has no result.
    """
    workdir = Workdir(cell.path)
    result = json.loads(workdir.result.read_text(encoding="utf-8"))
    events = [json.loads(line) for line in workdir.metrics.read_text(encoding="utf-8").splitlines()]
    training = [event for event in events if event["split"] == "train"]
    kept = {id(event) for event in training[:: -(-len(training) // _TRAIN_EVENTS) or 1]}
    translations = {}
    for split in list(result["splits"])[:1]:  # of others only the statistics: translations are most of a file
        if (path := workdir.translations(split, result["updates"])).exists():
            translations[split] = read_lines(path)
    content = {
        "variant": cell.variant,
        "seed": cell.seed,
        "commit": _commit(workdir),
        "config": without_machine(cell.spec.to_dict()),
        "result": result,
        "metrics": [_rounded(event) for event in events if event["split"] != "train" or id(event) in kept],
        "translations": translations,
        "sentences": _to_json(read_sentences(cell.path, result, cell.spec.data.target_language)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{cell.name}.json.xz"
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    return path


def unpack(cell: Cell, folder: pathlib.Path) -> bool:
    """Restores the files of a cell that `pack` has written; returns whether there are any.

    Raises:
      ValueError: the cell was trained with other settings; the message names the file.
    """
    path = folder / f"{cell.name}.json.xz"
    if not path.exists():
        return False
    content = read(path)
    if fill_defaults(content["config"]) != json.loads(json.dumps(without_machine(cell.spec.to_dict()))):
        raise ValueError(f"{path} was trained with other settings than {cell.name} of this sweep; use another folder")
    restore(content, cell.path)
    return True


def read(path: pathlib.Path) -> dict[str, Any]:
    """Reads a file of `pack`; raises ValueError if it is damaged."""
    try:
        return json.loads(lzma.decompress(path.read_bytes()))
    except (lzma.LZMAError, ValueError) as error:
        raise ValueError(f"{path}: is damaged: {error}") from error


def restore(content: dict[str, Any], path: pathlib.Path) -> None:
    """Writes the files of a cell to its folder; the result comes last, because it marks the cell as finished."""
    workdir, result = Workdir(path), content["result"]
    path.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(event) + "\n" for event in content["metrics"])
    workdir.metrics.write_text("".join(lines), encoding="utf-8")
    for split, texts in content["translations"].items():
        workdir.write_translations(split, result["updates"], texts)
    write_json(path / SENTENCES, content["sentences"])
    workdir.write_result(result)


def restore_all(folder: pathlib.Path, sweep: pathlib.Path) -> None:
    """Restores every cell in a folder of `pack`, and its sweep.json, to the folder of a sweep.

    Raises:
      FileNotFoundError: the folder has no sweep.json.
    """
    sweep.mkdir(parents=True, exist_ok=True)
    (sweep / "sweep.json").write_bytes((folder / "sweep.json").read_bytes())
    for path in sorted(folder.glob("*.json.xz")):
        content = read(path)
        restore(content, sweep / folder_name(content["variant"]) / f"seed{content['seed']}")


def read_sentences(path: pathlib.Path, result: dict[str, Any], language: str) -> dict[str, SentenceScores]:
    """Returns the statistics of a cell's translations by split, from its folder or from translations and references.

    Args:
      path: folder of the cell.
      result: content of its result.json.
      language: target language.
    """
    workdir, file = Workdir(path), path / SENTENCES
    if file.exists():
        return _from_json(json.loads(file.read_text(encoding="utf-8")))
    sentences = {}
    for split in result["splits"]:
        files = [workdir.translations(split, name) for name in (result["updates"], "reference")]
        if all(path.exists() for path in files):
            texts, references = map(read_lines, files)
            sentences[split] = sentence_scores(texts, references, language)
    return sentences


def _commit(workdir: Workdir) -> str | None:
    """Returns the commit of the code that trained a cell; None if it is not known."""
    path = workdir.path / "versions.json"
    return json.loads(path.read_text(encoding="utf-8"))["commit"] if path.exists() else None


def _rounded(event: dict[str, Any]) -> dict[str, Any]:
    """Returns an event with few digits; three for values of single layers, of which there are many."""
    return {
        key: float(f"{value:.{3 if '/' in key else 6}g}") if isinstance(value, float) else value
        for key, value in event.items()
    }


def _to_json(sentences: dict[str, SentenceScores]) -> dict[str, Any]:
    """Returns one list per column; after the first metric, differences from it, which are mostly zero."""
    content = {}
    for split, scores in sentences.items():
        first, *others = (to_columns(scores.statistics[metric]) for metric in METRICS)
        columns = [first, *(other - first for other in others)]
        content[split] = {metric: array.T.tolist() for metric, array in zip(METRICS, columns, strict=True)}
        content[split]["references"] = scores.references
    return content


def sentence_statistics(content: dict[str, Any]) -> dict[str, SentenceScores]:
    """Returns the statistics of a cell's translations by split; `content` is what `read` returns."""
    return _from_json(content["sentences"])


def _from_json(content: dict[str, Any]) -> dict[str, SentenceScores]:
    sentences = {}
    for split, scores in content.items():
        first, *others = (np.array(scores[metric], np.int64).T for metric in METRICS)
        columns = [first, *(other + first for other in others)]
        statistics = {metric: from_columns(array) for metric, array in zip(METRICS, columns, strict=True)}
        sentences[split] = SentenceScores(statistics, scores["references"])
    return sentences
