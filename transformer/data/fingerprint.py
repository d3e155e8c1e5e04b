"""Corpus fingerprints: small values that identify a corpus without reading tens of millions of pairs."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from transformer.data.pairs import LazyPairs, sample
from transformer.spec import DataSpec

_SAMPLE = 64  # pairs


def sample_fingerprint(pairs: LazyPairs, spec: DataSpec) -> dict[str, Any]:
    """Returns the number of pairs and the SHA-256 of a sample of them; the same in both directions."""
    digest = hashlib.sha256()
    for pair in sample(pairs, _SAMPLE):
        texts = pair if spec.source_language < spec.target_language else reversed(pair)
        digest.update("".join(f"{text}\n" for text in texts).encode())
    return {"pairs": len(pairs), "excerpt": digest.hexdigest()}


def file_fingerprint(path: pathlib.Path, previous: Mapping[str, Any]) -> dict[str, Any]:
    """Returns size, modification time and SHA-256 of a file.

    Args:
      previous: an earlier fingerprint, or nothing. If size and time are unchanged, its SHA-256 is returned and the file
        is not read.
    """
    status = path.stat()
    stamp = {"bytes": status.st_size, "modified": status.st_mtime_ns}
    if all(previous.get(name) == value for name, value in stamp.items()):
        return dict(previous)
    with path.open("rb") as file:
        return {**stamp, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def fingerprints_match(first: Any, second: Any) -> bool:
    """Returns whether two fingerprints identify the same pairs; modification times are ignored."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        same_keys = first.keys() == second.keys()
        return same_keys and all(name == "modified" or fingerprints_match(first[name], second[name]) for name in first)
    return first == second
