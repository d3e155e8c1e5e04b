"""Contrasts from files and from the generated corpus; lines that do not fit are refused by number."""

import itertools
import pathlib

import numpy as np
import pytest

from experiments.studies import contrasts
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.phenomena import read_examples
from transformer.data.grammar.minimal_pairs import minimal_pairs
from transformer.spec import BOS, EOS, PAD


def fitting_lines(run: InspectedRun) -> list[tuple[str, ...]]:
    """Returns the lines of a minimal pair whose sources have equally many tokens."""
    encode = run.tokenizer.encode
    pairs = minimal_pairs("number", "validation", run.spec.data.target_language)
    pair = next(pair for pair in pairs if len(encode(pair.source)) == len(encode(pair.other_source)))
    texts = pair.translation, pair.other_translation
    return [(pair.source, *texts), (pair.other_source, *reversed(texts))]


def read(run: InspectedRun, folder: pathlib.Path, lines: list[tuple[str, ...]]) -> list[contrasts.SourcePair]:
    path = folder / "pairs.tsv"
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return contrasts.pairs_of_lines(run, read_examples(str(path)), path.name)


def test_lines_that_do_not_fit_are_refused(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    inspected = InspectedRun(run)
    first, second = fitting_lines(inspected)
    for changed, message in (
        ((f"{first[0]} Oui.", *second[1:]), r"pairs.tsv:1 and 2: the sources have \d+ and \d+ tokens, and a word"),
        ((first[0], *second[1:]), "pairs.tsv:1 and 2: the sources are equal"),
        ((second[0], *first[1:]), "pairs.tsv:1 and 2: the right token of each line must be the wrong one"),
    ):
        with pytest.raises(ValueError, match=message):
            read(inspected, tmp_path, [first, changed])
    with pytest.raises(ValueError, match=r"pairs.tsv: 3 lines"):
        read(inspected, tmp_path, [first, second, first])


def test_replaced_words_may_differ_in_length(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """All tokens of a replaced word belong to all of the other one; those of equal words belong together in order."""
    inspected = InspectedRun(run)
    encode, reasons = inspected.tokenizer.encode, ("il avait peur", "elle était trop large")
    sources = [f"Le poulet n'a pas traversé la route parce qu'{reason}." for reason in reasons]
    texts = ("He ran.", "It ran.")
    lines = [(sources[0], *texts), (sources[1], *reversed(texts))]
    (pair,) = read(inspected, tmp_path, lines)
    own, other = ([*encode(source), EOS] for source in sources)
    assert len(own) != len(other)
    linked = dict(pair.links)
    assert (linked[0], linked[len(own) - 1]) == (0, len(other) - 1)
    changed, other_changed = (roles["changed word"] for roles in (pair.roles, pair.other_roles))
    assert set(itertools.product(changed, other_changed)) <= set(pair.links)
    unchanged = [(first, second) for first, second in pair.links if first not in changed]
    assert [own[first] for first, _ in unchanged] == [other[second] for _, second in unchanged]
    assert sorted(other_changed + tuple(second for _, second in unchanged)) == list(range(len(other)))
    (batch,) = contrasts.contrast_batches([pair], 1)
    assert batch.aligned_BSS is not None
    assert int(batch.aligned_BSS.sum()) == len(pair.links)


def test_a_contrast_ends_where_the_translations_differ(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The batch of unequal pairs is padded, and its last row repeats the last pair."""
    inspected = InspectedRun(run)
    lines = fitting_lines(inspected)
    (pair,) = read(inspected, tmp_path, lines)
    tokenizer = inspected.tokenizer
    assert pair.contrast.prefix[0] == BOS
    assert pair.contrast.source == (*tokenizer.encode(lines[0][0]), EOS)
    right = [*tokenizer.for_target.encode(lines[0][1]), EOS]
    length = len(pair.contrast.prefix) - 1
    assert (*right[:length], pair.contrast.right) == (*pair.contrast.prefix[1:], right[length])
    positions = sorted(position for positions in pair.roles.values() for position in positions)
    assert positions == list(range(len(pair.other_source)))
    assert [pair.contrast.source[p] for p in pair.roles["changed word"]] != [
        pair.other_source[p] for p in pair.roles["changed word"]
    ]
    longer = contrasts.generated_pairs(inspected, "validation", 1)["number"]
    first, second = contrasts.contrast_batches([pair, *longer, pair], 2)
    assert first.source_BS.shape == second.source_BS.shape
    np.testing.assert_array_equal(second.source_BS[0], second.source_BS[1])
    assert int(first.position_B[0]) == length
    assert int((first.source_BS[0] == PAD).sum()) == first.source_BS.shape[1] - len(pair.other_source)
