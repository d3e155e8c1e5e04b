"""The test sets that sacreBLEU downloads by name, such as wmt14/full; Post 2018."""

import difflib
import pathlib
from typing import Any, NamedTuple

from transformer.data.sources.network import connection_error
from transformer.data.sources.text_files import read_lines


class SacrebleuTestSet(NamedTuple):
    """Source lines, and one or several lists of reference lines."""

    sources: list[str]
    references: list[list[str]]


def read_test_set(name: str, direction: str) -> SacrebleuTestSet:
    """Reads a test set from sacreBLEU's folder, ~/.sacrebleu or the one that SACREBLEU names; downloads it if needed.

    Args:
      name: sacreBLEU's name; `sacrebleu --list` prints all.
      direction: source and target language, "fr-en".

    Raises:
      ValueError: there is no such test set or direction, or it cannot be downloaded.
    """
    from sacrebleu.dataset import DATASETS

    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"sacreBLEU has no test set {name!r}; {hint}`sacrebleu --list` prints all names")
    dataset: Any = DATASETS[name]
    if direction not in dataset.langpairs:
        raise ValueError(f"the test set {name} has no {direction}; it has {', '.join(sorted(dataset.langpairs))}")
    _check_download(dataset, direction)
    try:
        dataset.get_files(direction)
    except (OSError, SystemExit) as error:  # sacreBLEU exits if a checksum differs
        raise ValueError(f"cannot download the test set {name} from {dataset.data[0]}: {error}") from error
    sides = [read_lines(path) for path in (dataset.get_source_file(direction), *dataset.get_reference_files(direction))]
    if len(set(map(len, sides))) != 1:
        raise ValueError(f"{pathlib.Path(dataset.get_source_file(direction)).parent}: files of different lengths")
    return SacrebleuTestSet(sides[0], sides[1:])


def _check_download(dataset: Any, direction: str) -> None:
    """Raises ValueError if a file is missing and its server does not answer: sacreBLEU would wait without limit."""
    # sacreBLEU has no public function for the places of its files.
    fields = dataset.fieldnames(direction)
    if all(pathlib.Path(dataset._get_txt_file_path(direction, field)).exists() for field in fields):
        return
    for url in dataset.data:
        archive = pathlib.Path(dataset._rawdir, dataset._get_tarball_filename(url))
        if not archive.exists() and (reason := connection_error(url)):
            raise ValueError(
                f"cannot download the test set {dataset.name} from {url} ({reason}): download it on a machine with a "
                f"network, to {archive}"
            )
