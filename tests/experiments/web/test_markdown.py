"""Markdown tables: cells from a corpus are text."""

import pytest
from markdown_it import MarkdownIt

from experiments.web.markdown import format_geometric_mean, format_mean, format_p_value, table
from transformer.evaluation.confidence import Mean


@pytest.mark.parametrize(
    "text",
    [
        "![pixel](https://example.com/a.png)",
        "[link](https://example.com) [a][b]",
        "**bold** *italic* _italic_ __bold__ `code` ~~deleted~~",
        "see https://example.com and www.example.com, ftp://example.com",
        "<b>bold</b> <img src=x onerror=alert(1)> <!-- comment --> <https://example.com>",
        "&amp; &#65; a\\*b \\| a|b",
        "trailing backslash \\",
        "no_residual [0, 10) < 0.001",
    ],
)
def test_cells_are_text(text: str) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(table(["a"], [[text]]))
    (cell,) = html.partition("<tbody>")[2].partition("<td>")[2].split("</td>")[:1]
    assert not any(tag in cell for tag in ("<img", "<a", "<b", "<strong", "<em", "<code", "<s>", "<!--"))
    assert cell.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&") == text


def test_addresses_are_not_links() -> None:
    """GitHub turns an address into a link unless it is escaped."""
    cell = table(["a"], [["https://example.com www.example.com a: b 1:2"]]).splitlines()[2]
    assert cell == "| https\\://example.com www\\.example.com a: b 1:2 |"


def test_usual_cells_are_unchanged() -> None:
    row = ["no_residual [0, 10)", "< 0.001", "1.5 ± 0.2"]
    assert table(["variant", "p", "BLEU"], [row]).splitlines()[2] == "| no_residual [0, 10) | < 0.001 | 1.5 ± 0.2 |"


def test_a_line_end_in_a_cell_is_a_space() -> None:
    assert table(["a"], [["one\ntwo"]]).splitlines()[2] == "| one two |"


def test_numbers_and_tables() -> None:
    assert [format_p_value(value) for value in (0.0001, 0.001, 0.25)] == ["< 0.001", "0.001", "0.250"]
    assert format_mean(Mean(12345.678, 1.25, 3), 1) == "12,345.7 ± 1.2"
    assert format_mean(Mean(1.0, None, 1), 2) == format_mean(Mean(1.0, 0.0, 3), 2) == "1.00"
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
    assert table(["a"], [["x|y"]]).endswith("| x\\|y |\n")


def test_perplexities_are_averaged_as_losses() -> None:
    """The mean of log 2 and log 8 is log 4; four seeds each give a half width of 3.182 · s / √4."""
    assert format_geometric_mean([2.0, 2.0, 8.0, 8.0], 1) == "4.0 (1.1–14.3)"
    assert format_geometric_mean([3.456], 2) == "3.46"
    assert format_geometric_mean([1e30], 2) == "1.0e+30"


def test_numbers_without_end_are_short() -> None:
    assert format_mean(Mean(9.64e42, 3.7e43, 3), 2) == "9.6e+42 ± 3.7e+43"
    assert format_mean(Mean(1234567.0, 0.25, 3), 2) == "1,234,567.00 ± 0.25"
