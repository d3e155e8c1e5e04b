"""Reports of invented results."""

import csv
import json
import pathlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import Any

import pytest

from experiments.sweeps.report import Report


def result(bleu: float, **scores: Any) -> dict[str, Any]:
    split = {
        "bleu": bleu,
        "chrf": 50.0,
        "bleu_paper": bleu + 1,
        "exact": 10.0,
        "perplexity": 3.5,
        "by_source_length": [["1-4", 3, bleu]],
    }
    costs = {"target_tokens": 3e6, "training_flops": 2e15, "tokens_per_second": 4321.0, "training_minutes": 1.5}
    return {"splits": {"test": split | scores}, "parameters": 1_250_000, "updates": 7, **costs}


def row(markdown: str, heading: str, first: str) -> list[str]:
    """Returns the cells of a table row, by the heading of the table and the first cell of the row."""
    lines = markdown.partition(f"### {heading}")[2].splitlines()
    return next(cells for line in lines if (cells := line.strip("| ").split(" | "))[0] == first)


def test_means_over_seeds_have_intervals() -> None:
    report = Report({"base": {0: result(1.0), 1: result(2.0), 2: result(3.0)}, "other": {0: result(9.0)}})
    assert row(report.tables(), "Scores on test", "base")[1:3] == ["3", "2.00 ± 2.48"]
    assert row(report.tables(), "Scores on test", "other")[1:3] == ["1", "9.00"]
    assert row(report.tables(), "Cost", "base")[1:] == ["1.25", "3.00", "2.000", "4,321", "1.5", "1"]
    assert row(report.tables(), "BLEU on test by source length", "1-4")[1:] == ["3", "2.0 ± 2.5", "9.0"]


def test_the_shares_of_the_wall_time_are_a_table() -> None:
    """Results of older versions have none."""
    goodput = {"wall_seconds": 90.0, "starts": 2, "start_up": 0.125, "compilation": 0.25, "steps": 0.375}
    goodput |= {"input": 0.0, "evaluation": 0.125, "saving": 0.0625, "lost": 0.0625}
    report = Report({"base": {0: result(1.0) | {"goodput": goodput}}, "old": {0: result(2.0)}})
    shares = ["1.5", "37.5", "12.5", "25.0", "0.0", "12.5", "6.2", "6.2"]
    assert row(report.tables(), "Wall time", "base")[1:] == shares
    assert ("base", 0, "training", "goodput/lost", 0.0625) in report.values()
    assert "Wall time" not in Report({"old": {0: result(2.0)}}).tables()


def test_published_scores_are_a_column() -> None:
    report = Report({"base": {0: result(1.0)}, "other": {0: result(2.0)}}, published={"base": {"bleu": 25.8}})
    assert row(report.tables(), "Scores on test", "variant")[-1] == "published bleu"
    assert row(report.tables(), "Scores on test", "base")[-1] == "25.8"


def test_phenomena_have_a_table_if_they_were_counted() -> None:
    tagged = result(1.0, by_phenomenon=[["negation", 4, 25.0], ["past", 2, 50.0]])
    assert "phenomenon" not in Report({"base": {0: result(1.0)}}).tables()
    heading = "Exact translations on test, % of the sentences with each phenomenon"
    assert row(Report({"base": {0: tagged}}).tables(), heading, "past")[1:] == ["2", "50.0"]


def test_a_sweep_with_unfinished_cells(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="no sweep found"):
        Report.from_folder(tmp_path)
    variants = {"a b": {"model.heads": 1}, "c": {}}
    (tmp_path / "sweep.json").write_text(json.dumps({"base": {}, "variants": variants, "published": {}}))
    for name in ("a_b/seed0", "a_b/seed10", "a_b/seed2", "c/seed0"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no cell of the sweep is finished \(4 have started\)"):
        Report.from_folder(tmp_path)
    for number in (0, 2, 10):
        (tmp_path / f"a_b/seed{number}/result.json").write_text(json.dumps(result(float(number))))
    report = Report.from_folder(tmp_path)
    assert "not included: 1." in report.write(tmp_path / "report")
    with (tmp_path / "report/report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["value"]) for row in rows if row["name"] == "bleu"] == [
        ("0", "0.0"), ("2", "2.0"), ("10", "10.0"),
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.md", "report.csv", "report.html", "length_test.png", "length_test.svg", "length_test.pdf",
    }  # fmt: skip


def test_variants_are_compared_with_the_base(tmp_path: pathlib.Path) -> None:
    """One variant has half of its sentences wrong in all seeds; the other has the translations of the base."""
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
    report = Report.from_folder(tmp_path)
    worse, same = (report.comparisons("test")[name] for name in ("worse", "same"))
    assert worse.difference < -20
    assert (worse.seeds, same.seeds) == ((3, 3), (3, 2))
    assert worse.p < 0.02
    assert same.p > 0.9
    tables = report.tables()
    assert row(tables, "BLEU on test compared with base", "same")[-1] == "not significant"
    assert row(tables, "BLEU on test compared with base", "worse")[-1] == "significant"


def test_variants_with_other_test_sentences_are_not_compared(tmp_path: pathlib.Path) -> None:
    """Two directions in one sweep are not compared, because they have different references."""
    lines = {
        "fr-en": [f"the cat {number}" for number in range(9)],
        "en-fr": [f"le chat {number}" for number in range(9)],
    }
    variants = {way: {"data.direction": way} for way in lines}
    (tmp_path / "sweep.json").write_text(json.dumps({"base": {}, "variants": variants, "published": {}}))
    for way, texts in lines.items():
        folder = tmp_path / f"{way}/seed0/translations"
        folder.mkdir(parents=True)
        (folder.parent / "result.json").write_text(json.dumps(result(50.0)))
        for step in ("7", "reference"):
            (folder / f"test.{step}.txt").write_text("".join(line + "\n" for line in texts))
    report = Report.from_folder(tmp_path)
    assert report.comparisons("test") == {}
    assert "same order, except en-fr." in report.tables()


def events(*values: float) -> str:
    """Returns metrics.jsonl with these validation perplexities, and with training and test events."""
    lines: list[dict[str, Any]] = []
    for number, value in enumerate(values, 1):
        lines.append({"step": 10 * number, "split": "train", "loss": 9.0, "perplexity": 99.0})
        lines.append({"step": 10 * number, "split": "validation", "loss": 1.0, "perplexity": value, "bleu": 2 * value})
    lines.append({"step": 10 * len(values), "split": "test", "bleu": 77.0})
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A sweep of two variants with two seeds, one of which stopped early."""
    variants = {"base": {}, "a <b> & c": {"model.heads": 1}, "words": {"data.vocab_size": 9}}
    (tmp_path / "sweep.json").write_text(json.dumps({"base": {}, "variants": variants, "published": {}}))
    for name, seeds in {"base": [(4.0, 2.0), (6.0,)], "a_b_c": [(8.0, 3.0), (8.0, 5.0)]}.items():
        for seed, values in enumerate(seeds):
            cell = tmp_path / name / f"seed{seed}"
            cell.mkdir(parents=True)
            (cell / "result.json").write_text(json.dumps(result(10.0 + seed)))
            (cell / "metrics.jsonl").write_text(events(*values))
    return tmp_path


def test_curves_are_means_over_the_seeds_that_reached_the_update(folder: pathlib.Path) -> None:
    curves = Report.from_folder(folder).curves("perplexity")
    assert list(curves) == ["base", "a <b> & c"]
    assert [(step, value.value, value.seeds) for step, value in curves["base"]] == [(10, 5.0, 2), (20, 2.0, 1)]
    assert [(step, value.value, value.seeds) for step, value in curves["a <b> & c"]] == [(10, 8.0, 2), (20, 4.0, 2)]


def test_variants_whose_loss_still_falls_are_marked(folder: pathlib.Path) -> None:
    losses = {"base": (5.0, 3.0, 2.001, 2.0), "a_b_c": (5.0, 3.0, 2.5, 2.0)}
    for name, values in losses.items():
        for seed in (0, 1):
            lines = [
                {"step": step, "split": "validation", "loss": value}
                for step, value in zip((10, 50, 80, 100 + seed), values, strict=True)
            ]
            path = folder / name / f"seed{seed}" / "metrics.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = Report.from_folder(folder)
    gains = {name: (updates.value, gain.value) for name, (updates, gain) in report.last_gains().items()}
    assert gains == {"base": (100.5, pytest.approx(0.001)), "a <b> & c": (100.5, pytest.approx(0.5))}
    assert report.unconverged() == ["a <b> & c"]
    tables = report.tables()
    assert "| base |" in tables
    assert "†: the last fifth of training lowered the validation loss" in tables
    rows = [line for line in tables.splitlines() if line.startswith("| a ")]
    assert len(rows) > 2
    assert all("†" in row for row in rows)


def test_variants_with_other_batches_are_named(folder: pathlib.Path) -> None:
    assert "same batches in the same order, except words." in Report.from_folder(folder).tables()


class Elements(HTMLParser):
    """Parses a page: attributes, text of table cells, and whether every element is closed in the right order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_all_tables_and_needs_no_other_file(folder: pathlib.Path) -> None:
    tables = Report.from_folder(folder).write(folder / "report")
    text = (folder / "report/report.html").read_text()
    page = Elements(text)
    assert not page.open
    lines = [line[1:-1] for line in tables.splitlines() if line.startswith("|") and "---" not in line]
    assert page.cells == [re.sub(r"\\(.)", r"\1", cell.strip()) for line in lines for cell in line.split("|")]
    assert "<b>" not in text
    addresses = [value or "" for name, value in page.attributes if name in ("src", "href")]
    assert (
        sum(address.startswith("data:image/svg+xml;base64,") for address in addresses) == 4
    )  # two curves, two of the split
    assert all(address.startswith(("data:", "#")) for address in addresses)
    ids = [value for name, value in page.attributes if name == "id"]
    assert [address[1:] for address in addresses if address.startswith("#")] == ids


@pytest.mark.slow
def test_the_page_in_a_browser(folder: pathlib.Path) -> None:
    """It opens without console messages, and a click on a heading sorts by its column."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    Report.from_folder(folder).write(folder / "report")
    page = folder / "report/report.html"
    click = (
        "<script>window.onerror = (what) => { document.title = 'error: ' + what; };</script>",
        "<script>const all = [...document.querySelectorAll('thead button')];"
        "for (const each of all) each.click();"
        "document.title = 'sorted ' + [...document.querySelectorAll('tbody')].map("
        "(body) => [...body.rows].map((row) => row.cells[0].textContent).join(', ')).join('; ');</script></body>",
    )
    text = page.read_text().replace("<style>", click[0] + "<style>", 1).replace("</body>", click[1])
    page.write_text(text)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/b"]
    completed = subprocess.run(
        [browser, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in completed.stderr, completed.stderr
    (title,) = re.findall(r"<title>(.*?)</title>", completed.stdout)
    assert title.startswith("sorted ")
    assert completed.stdout.count('aria-sort="ascending"') == completed.stdout.count("<table>")
