"""Whether a corpus is the one it was: small answers that tell, without reading tens of millions of pairs."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from transformer.data.pairs import LazyPairs, sampled
from transformer.spec import DataSpec

_EXCERPT = 64  # pairs


def excerpt(pairs: LazyPairs, spec: DataSpec) -> dict[str, Any]:
    """The number of pairs, and the SHA-256 of some from all over the split; the same in both directions."""
    digest = hashlib.sha256()
    for pair in sampled(pairs, _EXCERPT):
        texts = pair if spec.source_language < spec.target_language else reversed(pair)
        digest.update("".join(f"{text}\n" for text in texts).encode())
    return {"pairs": len(pairs), "excerpt": digest.hexdigest()}


def content_of(path: pathlib.Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Size, time of the last change, and SHA-256 of a file, which is that in `known` if the other two are as there."""
    status = path.stat()
    found = {"bytes": status.st_size, "modified": status.st_mtime_ns}
    if all(known.get(name) == value for name, value in found.items()):
        return dict(known)
    with path.open("rb") as file:
        return {**found, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def same(one: Any, other: Any) -> bool:
    """Whether two identities are those of the same pairs; files may have been touched or copied since."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(name == "modified" or same(one[name], other[name]) for name in one)
    return one == other
