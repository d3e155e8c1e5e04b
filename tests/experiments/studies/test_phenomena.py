"""Contrastive evaluation and the study of phenomena."""

import pathlib

import numpy as np
import pytest

from experiments.analyze import analyze
from experiments.studies.phenomena import read_examples
from tests.experiments.studies.conftest import flags, results


@pytest.mark.slow
def test_margins_of_contrasts(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A margin does not depend on the other examples; masking any head changes it."""
    lines = ["Il dort.\tHe is sleeping.\tShe is sleeping.\tpronoun", "Il dort.\tHe is sleeping.\tHe sleep.\tverb"]
    margins, path = [], tmp_path / "pairs.tsv"
    for text in ("\n".join(lines), lines[1]):
        path.write_text(text + "\n", encoding="utf-8")
        printed = analyze(flags(run, contrast=str(path), output=str(tmp_path)))
        assert "| verb | 1 |" in printed[0]
        margins.append(results(tmp_path)["contrast"]["margins"][-1]["margin"])
    assert margins[0] == pytest.approx(margins[1], abs=1e-4)
    analyze(flags(run, study=["heads"], contrast=str(path), output=str(tmp_path)))
    by_head = results(tmp_path)["contrast_by_head"]
    assert by_head["margin"] == {"verb": pytest.approx(margins[1], abs=1e-4)}
    changed = [each["verb"] for each in by_head["without"].values()]
    assert len(changed) == len({round(each, 6) for each in changed} | {round(margins[1], 6)}) - 1 == 9


@pytest.mark.slow
def test_a_study_of_phenomena(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    analyze(flags(run, study=["phenomena"], sentences=7, output=str(tmp_path)))
    values = results(tmp_path)["phenomena"]
    assert values["contrast"]["kinds"].keys() >= {"number", "agreement"}
    counts = [each["pairs"] for each in values["contrast"]["kinds"].values()]
    assert sum(counts) == len(values["contrast"]["margins"]) > 7
    assert np.isfinite([each["margin"] for each in values["contrast"]["margins"]]).all()
    assert values["length"]["long"]["sentences"] == 7
    assert all(each["score"] == 0 for each in values["exact"])  # untrained


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tb", r"pairs\.tsv:2: 2 columns"),
        ("a\t\tc", r"pairs\.tsv:2: 3 columns"),
        ("a\tb\tb", r"pairs\.tsv:2: the right and the wrong translation are equal"),
    ],
)
def test_an_invalid_line_of_contrasts_is_named(line: str, message: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"a\tb\tc\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_examples(str(path))
