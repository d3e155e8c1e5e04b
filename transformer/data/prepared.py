"""A training split that is tokenised once, into a folder: arrays that are mapped into memory and not read.

    prepared.json                   what it was made of, and once it is whole, what is in it
    tokenizer.model                 the vocabulary
    fr.tokens.npy, en.tokens.npy    the sentences of a language, one after the other
    fr.offsets.npy, en.offsets.npy  where they begin, and last where the last one ends
    positions.npy                   where in the split each pair stood
    shards/FIRST-LAST.npz           while it is being made: a part of the split (shards.py)

Languages, and not source and target: both directions of a corpus share a folder. All is as `tokenize` makes it.

Flat arrays, not ArrayRecord: a batch is a thousand sentences from all over the split. In an array each is an access to
memory, and all of them one operation; in records each is a read, a decompression and an object, some 60 µs with TFDS.
Processes that map one file share its pages, and the system drops those that it needs for something else.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from transformer.data.corpus import Corpus
from transformer.data.fingerprint import same
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import LANGUAGES, DataSpec

FORMAT = 1  # of the folder; another one is not read
ARRAYS = ("tokens", "offsets")  # of each language


@dataclasses.dataclass(frozen=True)
class MappedPairs(TokenizedPairs):
    """Pairs whose arrays lie in files. Another process that they are handed to maps the files for itself.

    Attributes:
      digest: what `TokenizedPairs.fingerprint` would be; it was found out when the files were made.
      folder: where they are.
      direction: which language is the source, "fr-en".
    """

    digest: str
    folder: pathlib.Path
    direction: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs as ids, in hexadecimal; tens of millions of pairs are not read for it."""
        return self.digest

    def __reduce__(self) -> tuple[Any, ...]:
        return Prepared.pairs, (Prepared(self.folder), self.direction)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The folder `path`, whether there is something in it or not."""

    path: pathlib.Path

    @classmethod
    def of(cls, spec: DataSpec, corpus: Corpus) -> "Prepared":
        """The folder that `data.prepared` names.

        Raises:
          ValueError: it is not whole, or was made of something else; the message names what.
        """
        folder = cls(pathlib.Path(spec.prepared))
        if not folder.whole:  # before the corpus is looked for, and downloaded perhaps
            raise ValueError(
                f"data.prepared: {folder.path} does not hold a whole training split "
                f"({'it was begun' if folder.manifest else 'there is none'}); "
                "python -m experiments.prepare with the same --config makes it, and goes on where it was ended"
            )
        folder.check(made_of(spec, corpus, folder))
        return folder

    @property
    def tokenizer(self) -> pathlib.Path:
        """The vocabulary's file."""
        return self.path / "tokenizer.model"

    @property
    def manifest(self) -> dict[str, Any]:
        """What prepared.json says; empty if there is none.

        Raises:
          ValueError: it is damaged, or of another format.
        """
        path = self.path / "prepared.json"
        if not path.exists():
            return {}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: damaged ({error}); delete the folder and prepare it again") from error
        if manifest.get("format") != FORMAT:
            raise ValueError(
                f"{path}: format {manifest.get('format')}, not {FORMAT}; delete the folder and prepare it again"
            )
        return manifest

    @property
    def whole(self) -> bool:
        """Whether all is there."""
        return "files" in self.manifest

    def check(self, wanted: Mapping[str, Any]) -> None:
        """Makes sure that the folder, if there is something in it, was made of what is `wanted`.

        Raises:
          ValueError: it was made of something else, holds other files, or lacks one; the message names it.
        """
        manifest = self.manifest
        if not manifest:
            if self.path.exists() and any(path.stem != "lock" for path in self.path.iterdir()):
                raise ValueError(f"data.prepared: {self.path} holds other files; name a folder of its own")
            return
        there = manifest["made_of"]
        differing = [
            f"data.{name} (there {there.get(name)!r}, here {wanted.get(name)!r})" if name != "corpus" else "the corpus"
            for name in sorted(there.keys() | wanted.keys())
            if not same(there.get(name), wanted.get(name))
        ]
        if differing:
            raise ValueError(
                f"data.prepared: {self.path} was made of something else: {', '.join(differing)}; "
                "name another folder, or delete this one"
            )
        for name, known in manifest.get("files", {}).items():
            size = (self.path / name).stat().st_size if (self.path / name).exists() else None
            if size != known["bytes"]:
                state = "is missing" if size is None else f"has {size} bytes of {known['bytes']}"
                raise ValueError(f"data.prepared: {self.path / name} {state}; delete the folder and prepare it again")

    def load_tokenizer(self) -> Tokenizer:
        """The vocabulary; raises FileNotFoundError or ValueError if it is not that of the folder's tokens."""
        tokenizer = Tokenizer.load(self.tokenizer)
        if tokenizer.fingerprint != self.manifest.get("vocabulary"):
            raise ValueError(f"{self.tokenizer} is not the vocabulary that {self.path} was made with")
        return tokenizer

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Writes prepared.json; who is cut off here leaves the old one."""
        content = json.dumps({"format": FORMAT, **manifest}, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.path / "prepared.json", content.encode())

    def pairs(self, direction: str) -> MappedPairs:
        """The pairs of a folder that is whole, with the source and target of "fr-en" or "en-fr"."""
        manifest = self.manifest
        sides = (TokenizedSide(*(self.array(f"{code}.{what}") for what in ARRAYS)) for code in direction.split("-"))
        return MappedPairs(
            *sides,
            positions=self.array("positions"),
            dropped=manifest["dropped"],
            digest=manifest["fingerprints"][direction],
            folder=self.path,
            direction=direction,
        )

    def array(self, name: str) -> np.ndarray:
        """The array NAME.npy, mapped."""
        # As a plain array: np.memmap costs each slice several microseconds, and is pickled with all that it maps.
        return np.asarray(np.load(self.path / f"{name}.npy", mmap_mode="r"))


def made_of(spec: DataSpec, corpus: Corpus, folder: Prepared) -> dict[str, Any]:
    """What a folder for this corpus is made of, in both directions the same."""
    known = folder.manifest.get("made_of", {}).get("corpus", {})
    settings = ("train_split", "train_pairs", "vocab_size", "tokenizer", "vocab_sentences", "uncased", "max_length")
    return {
        "corpus": corpus.identity(spec.train_split, known),
        **{name: getattr(spec, name) for name in settings},
    }


def directions() -> tuple[str, ...]:
    """Of the two languages."""
    one, other = LANGUAGES
    return f"{one}-{other}", f"{other}-{one}"


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file under another name first, so that one of this name is whole, after a power cut too."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
