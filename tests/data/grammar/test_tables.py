"""Tables of the lexicon: invalid rows are reported with file and line."""

import pytest

from transformer.data.grammar.tables import comma_separated, one_of, parse_table

COLUMNS = "noun gender note?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noun\tgender\nchat\tm\n", "a.tsv:1: .* noun, gender, note"),
        ("noun\tgender\tnote\nchat\tm\n\nchien\tn\n", "a.tsv:4: .*'gender' is 'n'.* m, f"),
        ("noun\tgender\tnote\nchat\tm\nchat\tf\n", "a.tsv:3: .*noun as in line 2"),
        ("noun\tgender\tnote\n\tm\tx\n", "a.tsv:2: .*'noun' is empty"),
        ("noun\tgender\tnote\nchat\tm\tx\ty\n", "a.tsv:2: 4 cells, .*3 columns"),
    ],
)
def test_an_invalid_table_is_reported_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(parse_table("a.tsv", text, COLUMNS, lambda row: one_of(row, "gender", ("m", "f")), key="noun"))


def test_a_table_may_leave_out_empty_cells_and_use_windows_line_ends() -> None:
    rows = list(parse_table("a.tsv", "noun\tgender\tnote\r\nchat\tm\r\n\r\nvache\tf\tx\r\n", COLUMNS, dict))
    assert rows == [{"noun": "chat", "gender": "m", "note": ""}, {"noun": "vache", "gender": "f", "note": "x"}]
    assert comma_separated("eat, look for") == ["eat", "look for"]
    assert comma_separated("") == []
