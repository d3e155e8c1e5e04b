"""How a prepared folder is made: shards of the split, by any number of processes, and then one array of each kind.

A shard is a file that gets its name when it is whole. Whatever ends the work, those that are there are not made again.
"""

import dataclasses
import hashlib
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from transformer.data.pairs import Pair
from transformer.data.prepared import ARRAYS, Prepared, directions, write_whole
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide, encoded, require_some
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import LANGUAGES, DataSpec

NAMES = ("positions", *(f"{language}.{what}" for language in LANGUAGES for what in ARRAYS))


@dataclasses.dataclass(frozen=True)
class Shards:
    """The shards of a split: those that are there, and how the others are made. Can be pickled if `pairs` can.

    Attributes:
      folder: in whose folder "shards" they are.
      pairs: of the whole split.
      spec: the settings.
      size: pairs in a shard.
    """

    folder: Prepared
    pairs: Sequence[Pair]
    spec: DataSpec
    size: int

    @property
    def count(self) -> int:
        """Of all shards."""
        return -(-len(self.pairs) // self.size)

    def part(self, number: int) -> range:
        """The pairs of a shard."""
        return range(number * self.size, min((number + 1) * self.size, len(self.pairs)))

    def missing(self) -> list[int]:
        """The shards that are yet to be made."""
        return [number for number in range(self.count) if not self._path(number).exists()]

    def make(self, number: int, tokenizer: Tokenizer) -> int:
        """Makes a shard, with one thread; returns how many pairs it is made of."""
        part = self.part(number)
        self.write(number, encoded(self.pairs, part, tokenizer, self.spec.max_length, threads=1))
        return len(part)

    def write(self, number: int, found: TokenizedPairs) -> None:
        """Writes what a shard is, under its name when it is whole."""
        content = io.BytesIO()
        arrays = {"positions": found.positions}
        languages = (self.spec.source_language, self.spec.target_language)
        for language, side in zip(languages, (found.source, found.target), strict=True):
            arrays[f"{language}.tokens"], arrays[f"{language}.offsets"] = side.tokens, side.offsets
        np.savez(content, **arrays)  # type: ignore[arg-type]
        path = self._path(number)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content.getvalue())

    def join(self, advance: Callable[[int], None]) -> dict[str, Any]:
        """Makes the folder's arrays of all shards; returns what the manifest says of them.

        Args:
          advance: told for each of `NAMES` of how many pairs it has been written.

        Raises:
          ValueError: a shard is damaged, or no pair is left.
        """
        sizes = [{name: len(array) for name, array in self._read(number)} for number in range(self.count)]
        kept = sum(size["positions"] for size in sizes)
        require_some(kept, len(self.pairs), self.spec.max_length)
        files = {}
        for name in NAMES:
            offsets = name.endswith(".offsets")
            total = sum(size[name] - offsets for size in sizes) + offsets
            files[f"{name}.npy"] = _write(
                self.folder.path / f"{name}.npy", total, self._parts(name, advance, follow=offsets)
            )
        return {
            "files": files,
            "pairs": len(self.pairs),
            "kept": kept,
            "dropped": len(self.pairs) - kept,
            "tokens": {code: sum(size[f"{code}.tokens"] for size in sizes) for code in LANGUAGES},
        }

    def clear(self) -> None:
        """Deletes the shards."""
        for path in (self.folder.path / "shards").glob("*"):
            path.unlink()
        (self.folder.path / "shards").rmdir()

    def _path(self, number: int) -> pathlib.Path:
        part = self.part(number)
        return self.folder.path / "shards" / f"{part.start:010}-{part.stop:010}.npz"

    def _parts(self, name: str, advance: Callable[[int], None], follow: bool) -> Iterator[np.ndarray]:
        """The array `name` of each shard; with `follow`, numbers that go on from the last of the shard before."""
        last = 0
        if follow:
            yield np.zeros(1, np.int64)
        for number in range(self.count):
            array = dict(self._read(number, name))[name]
            if follow:
                array = array[1:] + last
                last = int(array[-1]) if len(array) else last
            yield array
            advance(len(self.part(number)))

    def _read(self, number: int, *names: str) -> list[tuple[str, np.ndarray]]:
        """Arrays of a shard, or all of them; reading checks their CRC."""
        path = self._path(number)
        try:
            with path.open("rb") as file, np.load(file) as shard:
                return [(name, shard[name]) for name in names or shard.files]
        except (zipfile.BadZipFile, EOFError, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it, and the same command makes it again") from error


def fingerprints(folder: Prepared) -> dict[str, str]:
    """`TokenizedPairs.fingerprint` of both directions, from the folder's arrays."""
    # Loaded outside of the threads: NumPy reads a header with `ast`, which Python before 3.11.8 cannot do in several.
    pairs: list[TokenizedPairs] = []
    for direction in directions():
        sides = (TokenizedSide(*(folder.array(f"{code}.{what}") for what in ARRAYS)) for code in direction.split("-"))
        pairs.append(TokenizedPairs(*sides, positions=np.zeros(0, np.int64), dropped=0))
    with ThreadPoolExecutor() as pool:
        return dict(zip(directions(), pool.map(lambda each: each.fingerprint, pairs), strict=True))


def damage(folder: Prepared) -> str | None:
    """The first file of a whole folder that is not what was written, or None; reads all of them."""
    for name, known in folder.manifest["files"].items():
        with (folder.path / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != known["sha256"]:
                return name
    return None


def _write(path: pathlib.Path, size: int, parts: Iterable[np.ndarray]) -> Mapping[str, Any]:
    """Writes an array of `size` numbers as .npy, part by part; returns the file's size and SHA-256."""
    digest, written = hashlib.sha256(), 0
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        for number, part in enumerate(parts):
            pieces = [part.tobytes()]
            if not number:
                header = io.BytesIO()
                form = {"descr": np.lib.format.dtype_to_descr(part.dtype), "fortran_order": False, "shape": (size,)}
                np.lib.format.write_array_header_1_0(header, form)
                pieces.insert(0, header.getvalue())
            for piece in pieces:
                digest.update(piece)
                written += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return {"bytes": written, "sha256": digest.hexdigest()}
