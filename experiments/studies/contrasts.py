"""Contrasts of two tokens after one prefix, for studies of what makes a model choose between them."""

from __future__ import annotations

import difflib
import itertools
import math
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.inspected_run import InspectedRun
from experiments.studies.phenomena import ContrastiveExample
from transformer.analysis.patching import ContrastBatch
from transformer.analysis.subwords import word_membership, word_spans
from transformer.data.corpus import Pair
from transformer.spec import BOS, EOS, PAD

if TYPE_CHECKING:
    from transformer.data.grammar.minimal_pairs import MinimalPair

_WIDTH_MULTIPLE = 4  # of batches, so that contrasts of several kinds have few shapes
_ROLES = ("word before", "changed word", "word after", "other words", "</s>")


class Contrast(NamedTuple):
    """A source, the beginning of its translation, and the next token of a right and of a wrong translation."""

    kind: str
    source: tuple[int, ...]  # with EOS
    prefix: tuple[int, ...]  # with BOS
    right: int
    wrong: int


Links = tuple[tuple[int, int], ...]  # (position of the source, position of the other source)


class SourcePair(NamedTuple):
    """A contrast and another source, for which the wrong token is right."""

    contrast: Contrast
    other_source: tuple[int, ...]
    links: Links  # which positions belong together
    roles: Mapping[str, tuple[int, ...]]  # positions of the source by role, each position in one role

    @property
    def other_roles(self) -> dict[str, tuple[int, ...]]:
        """Positions of the other source by role."""
        by_role = {role: {other for own, other in self.links if own in chosen} for role, chosen in self.roles.items()}
        return {role: tuple(sorted(positions)) for role, positions in by_role.items()}


def make_contrast(run: InspectedRun, example: ContrastiveExample, place: str = "") -> Contrast:
    """Makes the contrast of the first tokens in which two translations differ.

    Args:
      run: the run, whose vocabulary is used.
      example: a source and its two translations.
      place: begins an error message.

    Raises:
      ValueError: both translations have the same tokens.
    """
    sentences = (Pair(example.source, example.right), Pair(example.source, example.wrong))
    pairs = run.system.read_pairs(sentences)
    source = run.tokenizer.encode(pairs[0].source)
    right, wrong = ([*run.tokenizer.for_target.encode(pair.target), EOS] for pair in pairs)
    differing = (index for index, tokens in enumerate(zip(right, wrong, strict=False)) if tokens[0] != tokens[1])
    first = next(differing, None)
    if first is None:
        raise ValueError(f"{place}{example.right!r} and {example.wrong!r} have the same tokens")
    return Contrast(example.kind, (*source, EOS), (BOS, *right[:first]), right[first], wrong[first])


def pairs_of_lines(run: InspectedRun, examples: Sequence[ContrastiveExample], title: str) -> list[SourcePair]:
    """Makes pairs of the first and second line of a file, the third and fourth, and so on.

    Raises:
      ValueError: two lines do not belong together; the message names them.
    """
    if len(examples) % 2:
        raise ValueError(f"{title}: {len(examples)} lines; --study=patching reads pairs of lines, one for each source")
    pairs = []
    for number, lines in enumerate(zip(examples[::2], examples[1::2], strict=True)):
        place = f"{title}:{2 * number + 1} and {2 * number + 2}"
        contrast, other = (make_contrast(run, line, f"{place}: ") for line in lines)
        if (contrast.prefix, contrast.right, contrast.wrong) != (other.prefix, other.wrong, other.right):
            raise ValueError(
                f"{place}: the right token of each line must be the wrong one of the other, after the same words"
            )
        if contrast.source == other.source:
            raise ValueError(f"{place}: the sources are equal; patching needs sources that differ")
        links = _align(run, contrast.source, other.source)
        if links is None:
            lengths = f"{len(contrast.source) - 1} and {len(other.source) - 1} tokens"
            raise ValueError(f"{place}: the sources have {lengths}, and {_remedy(run)}")
        pairs.append(SourcePair(contrast, other.source, links, _roles(contrast.source, other.source, links)))
    return pairs


def _align(run: InspectedRun, source: Sequence[int], other: Sequence[int]) -> Links | None:
    """Returns which positions of two sources belong together: those of equal words, and all of replaced words.

    None if a word of one has no counterpart in the other. In sources of equal length, equal positions belong together.
    """
    if len(source) == len(other):
        return tuple((position, position) for position in range(len(source)))
    if run.spec.model.reverse_source:
        return None
    spans = [word_spans(run.tokenizer.pieces(list(ids))) for ids in (source, other)]
    words = [[tuple(ids[slice(*span)]) for span in own] for ids, own in zip((source, other), spans, strict=True)]
    links = list[tuple[int, int]]()
    matcher = difflib.SequenceMatcher(None, *words, autojunk=False)
    for _, first, end, other_first, other_end in matcher.get_opcodes():
        if first == end or other_first == other_end:
            return None
        own = range(spans[0][first][0], spans[0][end - 1][1])
        others = range(spans[1][other_first][0], spans[1][other_end - 1][1])
        links += zip(own, others, strict=True) if len(own) == len(others) else itertools.product(own, others)
    return tuple(links)


def _remedy(run: InspectedRun) -> str:
    if run.spec.model.reverse_source:
        return "this model reads them in reverse; use sources of equal length"
    return "a word of one has no counterpart in the other; use sources in which words are only replaced"


def read_pairs(run: InspectedRun, examples: Sequence[ContrastiveExample], title: str) -> dict[str, list[SourcePair]]:
    """Returns the pairs of a file's lines by the kind of their first line; raises the errors of `pairs_of_lines`."""
    by_kind: dict[str, list[SourcePair]] = {}
    for pair in pairs_of_lines(run, examples, title):
        by_kind.setdefault(pair.contrast.kind, []).append(pair)
    return by_kind


def single_contrasts(
    run: InspectedRun, examples: Sequence[ContrastiveExample], title: str
) -> dict[str, list[SourcePair]]:
    """Returns the contrast of each line of a file by kind, for studies that need no other source.

    Raises:
      ValueError: both translations of a line have the same tokens; the message names the line.
    """
    by_kind: dict[str, list[SourcePair]] = {}
    for number, example in enumerate(examples, 1):
        contrast = make_contrast(run, example, f"{title}:{number}: ")
        by_kind.setdefault(example.kind, []).append(SourcePair(contrast, contrast.source, (), {}))
    return by_kind


def generated_pairs(run: InspectedRun, split: str, count: int) -> dict[str, list[SourcePair]]:
    """Returns `count` minimal pairs of the generated corpus of each kind, whose sources have equally many tokens."""
    from transformer.data.grammar.minimal_pairs import KINDS, minimal_pairs

    by_kind: dict[str, list[SourcePair]] = {}
    for kind in KINDS:
        items = minimal_pairs(kind, split, run.spec.data.target_language)
        pairs = filter(None, (_source_pair(run, item) for item in items))
        by_kind[kind] = list(itertools.islice(pairs, count))
    return by_kind


def _source_pair(run: InspectedRun, item: MinimalPair) -> SourcePair | None:
    """Returns a pair of the generated corpus, or None if its sources differ in their numbers of tokens."""
    other = (*run.tokenizer.encode(item.other_source), EOS)
    if len(other) != len(run.tokenizer.encode(item.source)) + 1:
        return None
    contrast = make_contrast(run, ContrastiveExample(item.kind, item.source, item.translation, item.other_translation))
    pieces, words = run.tokenizer.pieces(contrast.source[:-1]), run.tokenizer.normalize(item.source_words)
    membership = word_membership(pieces, words)
    named = {role: np.flatnonzero(membership[index]).tolist() for role, index in item.roles}
    links = tuple((position, position) for position in range(len(other)))  # no position shifts
    return SourcePair(contrast, other, links, _roles(contrast.source, other, links, named))


def _roles(
    source: Sequence[int],
    other: Sequence[int],
    links: Links,
    named: Mapping[str, Sequence[int]] = types.MappingProxyType({}),
) -> dict[str, tuple[int, ...]]:
    """Returns the positions of each role: those named, the changed word and its neighbours, and the rest."""
    changed = sorted({position for position, linked in links if source[position] != other[linked]})
    role_of = {changed[0] - 1: "word before", changed[-1] + 1: "word after", len(source) - 1: "</s>"}
    role_of |= dict.fromkeys(changed, "changed word")
    role_of |= {position: role for role, positions in named.items() for position in positions}
    by_role: dict[str, list[int]] = {role: [] for role in (*named, *_ROLES)}
    for position in range(len(source)):
        by_role[role_of.get(position, "other words")].append(position)
    return {role: tuple(positions) for role, positions in by_role.items()}


def contrast_batches(pairs: Sequence[SourcePair], rows: int) -> list[ContrastBatch]:
    """Returns all pairs in order, in batches of one shape; the last one is filled up with copies of its last pair."""
    pairs = [*pairs, *[pairs[-1]] * (-len(pairs) % rows)]
    sources = [source for pair in pairs for source in (pair.contrast.source, pair.other_source)]
    longest = (max(map(len, sources)), max(len(pair.contrast.prefix) for pair in pairs))
    widths = [_WIDTH_MULTIPLE * math.ceil(length / _WIDTH_MULTIPLE) for length in longest]

    is_shifted = any(own != other for pair in pairs for own, other in pair.links)

    def padded(rows: Sequence[Sequence[int]], width: int) -> jax.Array:
        return jnp.array([[*ids, *[PAD] * (width - len(ids))] for ids in rows], jnp.int32)

    batches = []
    for first in range(0, len(pairs), rows):
        batch = pairs[first : first + rows]
        contrasts = [pair.contrast for pair in batch]
        batches.append(
            ContrastBatch(
                padded([item.source for item in contrasts], widths[0]),
                padded([pair.other_source for pair in batch], widths[0]),
                padded([item.prefix for item in contrasts], widths[1]),
                jnp.array([len(item.prefix) - 1 for item in contrasts], jnp.int32),
                jnp.array([item.right for item in contrasts], jnp.int32),
                jnp.array([item.wrong for item in contrasts], jnp.int32),
                _alignment(batch, widths[0]) if is_shifted else None,
            )
        )
    return batches


def _alignment(pairs: Sequence[SourcePair], width: int) -> jax.Array:
    aligned_BSS = np.zeros((len(pairs), width, width), bool)
    for row, pair in enumerate(pairs):
        aligned_BSS[(row, *zip(*pair.links, strict=True))] = True
    return jnp.asarray(aligned_BSS)
