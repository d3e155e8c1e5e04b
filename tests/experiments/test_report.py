"""Reports of results made up by hand."""

import csv
import json
import pathlib
from typing import Any

import pytest

from experiments.report import Report, probability, table, text
from transformer.evaluation.interval import Mean


def result(bleu: float, **scores: Any) -> dict[str, Any]:
    split = {"bleu": bleu, "chrf": 50.0, "bleu_paper": bleu + 1, "exact": 10.0, "by_source_length": [["1-4", 3, bleu]]}
    costs = {"target_tokens": 3e6, "training_flops": 2e15, "tokens_per_second": 4321.0, "training_minutes": 1.5}
    return {"splits": {"test": split | scores}, "parameters": 1_250_000, "updates": 7, **costs}


def row(markdown: str, heading: str, first: str) -> list[str]:
    """The cells of a table's row, by the table's heading and the row's first cell."""
    lines = markdown.partition(f"### {heading}")[2].splitlines()
    return next(cells for line in lines if (cells := line.strip("| ").split(" | "))[0] == first)


def test_a_mean_over_seeds_stands_with_its_interval() -> None:
    report = Report({"base": {0: result(1.0), 1: result(2.0), 2: result(3.0)}, "other": {0: result(9.0)}})
    assert row(report.tables(), "Scores on test", "base")[1:3] == ["3", "2.00 ± 2.48"]
    assert row(report.tables(), "Scores on test", "other")[1:3] == ["1", "9.00"]
    assert row(report.tables(), "Cost", "base")[1:] == ["1.25", "3.00", "2.000", "4,321", "1.5"]
    assert row(report.tables(), "BLEU on test by source length", "1-4")[1:] == ["3", "2.0 ± 2.5", "9.0"]


def test_what_was_published_stands_beside_ours() -> None:
    report = Report({"base": {0: result(1.0)}, "other": {0: result(2.0)}}, published={"base": {"bleu": 25.8}})
    assert row(report.tables(), "Scores on test", "variant")[-1] == "published bleu"
    assert row(report.tables(), "Scores on test", "base")[-1] == "25.8"


def test_phenomena_are_shown_where_they_were_counted() -> None:
    tagged = result(1.0, by_phenomenon=[["negation", 4, 25.0], ["past", 2, 50.0]])
    assert "phenomenon" not in Report({"base": {0: result(1.0)}}).tables()
    heading = "Translated exactly on test, %, of the sentences with each phenomenon"
    assert row(Report({"base": {0: tagged}}).tables(), heading, "past")[1:] == ["2", "50.0"]


def test_a_sweep_s_folder_with_cells_that_are_not_done(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="no sweep here"):
        Report.of(tmp_path)
    variants = {"a b": {"model.heads": 1}, "c": {}}
    (tmp_path / "sweep.json").write_text(json.dumps({"base": {}, "variants": variants, "published": {}}))
    for name in ("a_b/seed0", "a_b/seed10", "a_b/seed2", "c/seed0"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no cell of the sweep is finished \(4 have begun\)"):
        Report.of(tmp_path)
    for number in (0, 2, 10):
        (tmp_path / f"a_b/seed{number}/result.json").write_text(json.dumps(result(float(number))))
    report = Report.of(tmp_path)
    assert "1 cells are not finished" in report.write(tmp_path / "report")
    with (tmp_path / "report/report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["value"]) for row in rows if row["name"] == "bleu"] == [
        ("0", "0.0"), ("2", "2.0"), ("10", "10.0"),
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.md", "report.csv", "length_test.png", "length_test.svg",
    }  # fmt: skip


def test_variants_are_compared_with_the_base_seed_by_seed(tmp_path: pathlib.Path) -> None:
    """Half of one variant's sentences are wrong in all seeds; the other says what the base says."""
    right = [f"w{number} x{number} y{number % 3} z{number % 5} end" for number in range(40)]
    wrong = [line if number % 2 else line.upper() for number, line in enumerate(right)]
    texts = {"base": right, "worse": wrong, "same": right}
    variants = {"worse": {"model.heads": 1}, "base": {}, "same": {"model.heads": 2}}
    (tmp_path / "sweep.json").write_text(json.dumps({"base": {}, "variants": variants, "published": {}}))
    for name, lines in texts.items():
        for seed in range(3 if name != "same" else 2):
            folder = tmp_path / f"{name}/seed{seed}/translations"
            folder.mkdir(parents=True)
            (folder.parent / "result.json").write_text(json.dumps(result(50.0)))
            for step, written in ((7, [*lines[:seed], "x", *lines[seed + 1 :]]), ("reference", right)):
                (folder / f"test.{step}.txt").write_text("".join(line + "\n" for line in written))
    report = Report.of(tmp_path)
    worse, same = (report.comparisons("test")[name] for name in ("worse", "same"))
    assert worse.difference.value < -20
    assert (worse.difference.seeds, same.difference.seeds) == (3, 2)
    assert worse.p < 0.02
    assert same.p == 1
    tables = report.tables()
    assert row(tables, "BLEU on test against base", "same")[-1] == "not significant"
    assert row(tables, "BLEU on test against base", "worse")[-1] == f"{2 * worse.p:.3f}"


def test_numbers_and_tables() -> None:
    assert [probability(value) for value in (0.0001, 0.001, 0.25)] == ["< 0.001", "0.001", "0.250"]
    assert text(Mean(12345.678, 1.25, 3), 1) == "12,345.7 ± 1.2"
    assert text(Mean(1.0, None, 1), 2) == text(Mean(1.0, 0.0, 3), 2) == "1.00"
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
