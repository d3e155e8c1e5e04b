"""A training split tokenized once, into a folder of memory-mapped arrays.

    prepared.json                   the corpus and the settings; once the folder is complete, its contents
    tokenizer.model                 the vocabulary
    fr.tokens.npy, en.tokens.npy    the concatenated sentences of a language, by its code
    fr.offsets.npy, en.offsets.npy  the start of each sentence, and the end of the last one
    positions.npy                   the index of each pair in the split
    shards/FIRST-LAST.npz           during preparation: parts of the split (shards.py)

Files are named by language, not source and target, so that both directions of a corpus share a folder. The arrays are
equal to those of `tokenize`.

Why flat arrays instead of ArrayRecord: a batch is a thousand sentences from the complete split. In an array each
sentence is a memory access, and one NumPy operation gathers all of them. In records each one is a read, a decompression
and an object, about 60 µs with TFDS. Processes that map the same file share its pages, and the operating system can
drop them.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from transformer import atomic_file, storage
from transformer.data.corpus import Corpus
from transformer.data.fingerprint import fingerprints_match
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.local_copy import local_copy
from transformer.spec import DataSpec

FORMAT = 1  # version of the folder format; other versions are rejected
ARRAYS = ("tokens", "offsets")  # for each language


@dataclasses.dataclass(frozen=True)
class MappedPairs(TokenizedPairs):
    """Pairs whose arrays are memory-mapped files. When unpickled, another process maps the files itself.

    Attributes:
      digest: the value of `TokenizedPairs.fingerprint`, computed when the files were written.
      folder: the folder of the files.
      direction: source and target language, "fr-en".
    """

    digest: str
    folder: pathlib.Path
    direction: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs' token ids, in hexadecimal; read from the manifest, not computed."""
        return self.digest

    def __reduce__(self) -> tuple[Any, ...]:
        return PreparedFolder.pairs, (PreparedFolder(self.folder), self.direction)


@dataclasses.dataclass(frozen=True)
class PreparedFolder:
    """A folder for a prepared split, which may be missing, incomplete or complete."""

    path: pathlib.Path

    @classmethod
    def from_spec(cls, spec: DataSpec, corpus: Corpus) -> "PreparedFolder":
        """Opens the folder that `data.prepared` names; raises ValueError if it is incomplete or does not fit `spec`."""
        path = storage.path(spec.prepared)
        folder = cls(local_copy(path) if path.exists() else path)
        if not folder.complete:  # checked before the corpus is opened, which may download it
            state = "preparation was interrupted" if folder.manifest else "there is none"
            raise ValueError(
                f"data.prepared: {folder.path} does not hold a complete training split ({state}); "
                "run python -m experiments.prepare with the same --config, which also resumes a preparation"
            )
        folder.check(provenance(spec, corpus, folder))
        return folder

    @property
    def tokenizer(self) -> pathlib.Path:
        """The path of the vocabulary."""
        return self.path / "tokenizer.model"

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of prepared.json, empty without one; raises ValueError if it is damaged or of another version."""
        path = self.path / "prepared.json"
        if not path.exists():
            return {}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: damaged ({error}); delete the folder and prepare it again") from error
        if (version := manifest.get("format")) != FORMAT:
            raise ValueError(f"{path}: format {version}, not {FORMAT}; delete the folder and prepare it again")
        return manifest

    @property
    def complete(self) -> bool:
        """Whether the preparation is finished."""
        return "files" in self.manifest

    def check(self, expected: Mapping[str, Any]) -> None:
        """Checks that the folder is empty or has the provenance `expected`, and that no file is missing.

        Raises:
          ValueError: the corpus or a setting differs, the folder holds other files, or a file is missing or has another
            size; the message names it.
        """
        manifest = self.manifest
        if not manifest:
            if self.path.exists() and any(path.stem != "lock" for path in self.path.iterdir()):
                raise ValueError(f"data.prepared: {self.path} holds other files; name an empty or a new folder")
            return
        recorded = manifest["made_of"]
        differing = []
        for name in sorted(recorded.keys() | expected.keys()):
            old, new = recorded.get(name), expected.get(name)
            if not fingerprints_match(old, new):
                values = f" (folder: {old!r}, config: {new!r})"
                differing.append("the corpus" if name == "corpus" else f"data.{name}{values}")
        if differing:
            raise ValueError(
                f"data.prepared: {self.path} does not match this config: {', '.join(differing)}; "
                "name another folder, or delete this one"
            )
        for name, known in manifest.get("files", {}).items():
            path = self.path / name
            size = path.stat().st_size if path.exists() else None
            if size != known["bytes"]:
                state = "is missing" if size is None else f"has {size} bytes of {known['bytes']}"
                raise ValueError(f"data.prepared: {path} {state}; delete the folder and prepare it again")

    def load_tokenizer(self) -> Tokenizer:
        """Loads the vocabulary; raises FileNotFoundError, or ValueError if it is not the one of the folder's tokens."""
        tokenizer = Tokenizer.load(self.tokenizer)
        if tokenizer.fingerprint != self.manifest.get("vocabulary"):
            raise ValueError(f"{self.tokenizer} is not the vocabulary that {self.path} was prepared with")
        return tokenizer

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Writes prepared.json atomically."""
        content = json.dumps({"format": FORMAT, **manifest}, indent=2, ensure_ascii=False) + "\n"
        atomic_file.write(self.path / "prepared.json", content)

    def pairs(self, direction: str) -> MappedPairs:
        """Returns the pairs of a complete folder in one of its two directions, such as "fr-en"."""
        manifest, positions = self.manifest, self.array("positions")
        dropped, digest = manifest["dropped"], manifest["fingerprints"][direction]
        return MappedPairs(*self.sides(direction), positions, dropped, digest, self.path, direction)

    def sides(self, direction: str) -> tuple[TokenizedSide, TokenizedSide]:
        """Returns the source and the target sentences of a folder whose arrays are complete."""
        source, target = direction.split("-")
        return self._side(source), self._side(target)

    def _side(self, language: str) -> TokenizedSide:
        return TokenizedSide(*(self.array(f"{language}.{name}") for name in ARRAYS))

    def array(self, name: str) -> np.ndarray:
        """Memory-maps the array NAME.npy."""
        # A plain array, as np.memmap makes each slice several microseconds slower and is pickled with its content.
        return np.asarray(np.load(self.path / f"{name}.npy", mmap_mode="r"))


def provenance(spec: DataSpec, corpus: Corpus, folder: PreparedFolder) -> dict[str, Any]:
    """Returns the corpus fingerprint and the settings that a folder depends on; the same in both directions."""
    previous = folder.manifest.get("made_of", {}).get("corpus", {})
    settings = ("train_split", "train_pairs", "vocab_size", "tokenizer", "vocab_sentences", "uncased", "max_length")
    fingerprint = corpus.fingerprint(spec.train_split, previous)
    return {"corpus": fingerprint, **{name: getattr(spec, name) for name in settings}}
