"""Writes a prepared folder: shards of the split, by any number of processes, which are then merged.

A shard is written atomically. If the preparation is interrupted, existing shards are not computed again.
"""

import dataclasses
import hashlib
import io
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from transformer import atomic_file
from transformer.data.pairs import Pair
from transformer.data.prepared import ARRAYS, PreparedFolder
from transformer.data.token_dataset import TokenizedPairs, encode_pairs, require_nonempty
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec


@dataclasses.dataclass(frozen=True)
class Shards:
    """The shards of a split, existing and missing. Can be pickled if `pairs` can.

    Attributes:
      folder: the prepared folder; the shards are in its subfolder "shards".
      pairs: the complete split.
      spec: the settings.
      size: pairs in a shard.
    """

    folder: PreparedFolder
    pairs: Sequence[Pair]
    spec: DataSpec
    size: int

    @property
    def count(self) -> int:
        """The number of shards."""
        return -(-len(self.pairs) // self.size)

    @property
    def array_names(self) -> tuple[str, ...]:
        """The names of the arrays of the folder."""
        return ("positions", *(f"{language}.{array}" for language in self.spec.languages for array in ARRAYS))

    def pair_range(self, number: int) -> range:
        """Returns the range of pairs of a shard."""
        return range(number * self.size, min((number + 1) * self.size, len(self.pairs)))

    def missing(self) -> list[int]:
        """Returns the shards that do not exist yet."""
        return [number for number in range(self.count) if not self._path(number).exists()]

    def build(self, number: int, tokenizer: Tokenizer) -> int:
        """Tokenizes and writes a shard with one thread; returns the number of its pairs."""
        pair_range = self.pair_range(number)
        self.write(number, encode_pairs(self.pairs, pair_range, tokenizer, self.spec.max_length, threads=1))
        return len(pair_range)

    def write(self, number: int, tokenized: TokenizedPairs) -> None:
        """Writes a shard atomically."""
        arrays = {"positions": tokenized.positions}
        languages = (self.spec.source_language, self.spec.target_language)
        for language, side in zip(languages, (tokenized.source, tokenized.target), strict=True):
            arrays[f"{language}.tokens"], arrays[f"{language}.offsets"] = side.tokens, side.offsets
        path = self._path(number)
        path.parent.mkdir(exist_ok=True)
        with atomic_file.writer(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def merge(self, advance: Callable[[int], None]) -> dict[str, Any]:
        """Merges all shards into the arrays of the folder; returns their description for the manifest.

        Args:
          advance: called with the number of pairs of each shard that has been written, for each of `array_names`.

        Raises:
          ValueError: a shard is damaged, or no pair remains.
        """
        sizes = [{name: len(array) for name, array in self._read(number)} for number in range(self.count)]
        num_kept = sum(size["positions"] for size in sizes)
        require_nonempty(num_kept, len(self.pairs), self.spec.max_length)
        files = {}
        for name in self.array_names:
            offsets = name.endswith(".offsets")
            total = sum(size[name] - offsets for size in sizes) + offsets
            arrays = self._shard_arrays(name, advance, cumulative=offsets)
            files[f"{name}.npy"] = _write(self.folder.path / f"{name}.npy", total, arrays)
        return {
            "files": files,
            "pairs": len(self.pairs),
            "kept": num_kept,
            "dropped": len(self.pairs) - num_kept,
            "tokens": {code: sum(size[f"{code}.tokens"] for size in sizes) for code in self.spec.languages},
        }

    def fingerprints(self) -> dict[str, str]:
        """Computes `TokenizedPairs.fingerprint` for both directions from the arrays of the folder."""
        directions = ["-".join(codes) for codes in (self.spec.languages, self.spec.languages[::-1])]
        # Loaded outside the threads: NumPy parses headers with `ast`, which is not thread-safe before Python 3.11.8.
        empty = np.zeros(0, np.int64)
        pairs = [TokenizedPairs(*self.folder.sides(direction), empty, dropped=0) for direction in directions]
        with ThreadPoolExecutor() as pool:
            return dict(zip(directions, pool.map(lambda mapped: mapped.fingerprint, pairs), strict=True))

    def delete(self) -> None:
        """Deletes the shards."""
        for path in (self.folder.path / "shards").glob("*"):
            path.unlink()
        (self.folder.path / "shards").rmdir()

    def _path(self, number: int) -> pathlib.Path:
        pairs = self.pair_range(number)
        return self.folder.path / "shards" / f"{pairs.start:010}-{pairs.stop:010}.npz"

    def _shard_arrays(self, name: str, advance: Callable[[int], None], cumulative: bool) -> Iterator[np.ndarray]:
        """Yields the array `name` of each shard; if `cumulative`, with the last value of the previous shard added."""
        last = 0
        if cumulative:
            yield np.zeros(1, np.int64)
        for number in range(self.count):
            array = dict(self._read(number, name))[name]
            if cumulative:
                array = array[1:] + last
                last = int(array[-1]) if len(array) else last
            yield array
            advance(len(self.pair_range(number)))

    def _read(self, number: int, *names: str) -> list[tuple[str, np.ndarray]]:
        """Reads the named arrays of a shard, or all; checks their CRC."""
        path = self._path(number)
        try:
            with path.open("rb") as file, np.load(file) as shard:
                return [(name, shard[name]) for name in names or shard.files]
        except (zipfile.BadZipFile, EOFError, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it and run the same command again") from error


def first_damaged_file(folder: PreparedFolder) -> str | None:
    """Returns the first file of a complete folder whose SHA-256 differs, or None; reads all files."""
    for name, known in folder.manifest["files"].items():
        with (folder.path / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != known["sha256"]:
                return name
    return None


def _write(path: pathlib.Path, size: int, chunks: Iterable[np.ndarray]) -> Mapping[str, Any]:
    """Writes an array of `size` numbers as .npy, chunk by chunk; returns the size and SHA-256 of the file."""
    digest, written = hashlib.sha256(), 0
    with atomic_file.writer(path) as file:
        for number, chunk in enumerate(chunks):
            header = io.BytesIO()
            if not number:
                form = {"descr": np.lib.format.dtype_to_descr(chunk.dtype), "fortran_order": False, "shape": (size,)}
                np.lib.format.write_array_header_1_0(header, form)
            piece = header.getvalue() + chunk.tobytes()
            digest.update(piece)
            written += file.write(piece)
    return {"bytes": written, "sha256": digest.hexdigest()}
