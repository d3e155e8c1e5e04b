"""Lines that belong to the lines of standard input."""

import gzip
import pathlib

import pytest

from experiments.runs.companion_file import CompanionFile, split_pairs


def test_lines_are_taken_by_number_and_counted(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "target.gz"
    path.write_bytes(gzip.compress(b"un\n\ntrois\n"))
    file = CompanionFile("--target", str(path))
    assert file.take(1, 2) == ["un", ""]
    assert file.take(3, 1) == ["trois"]
    file.check_size(3)
    with pytest.raises(ValueError, match=r"--target=.*target\.gz has 3 lines, and standard input has more"):
        file.take(3, 2)
    with pytest.raises(ValueError, match="has 3 lines, and standard input has 2"):
        file.check_size(2)


@pytest.mark.parametrize(("line", "tabs"), [("no tab", 0), ("", 0), ("a\tb\tc", 2)])
def test_a_line_without_one_tab_is_named_after_the_pairs_before_it(line: str, tabs: int) -> None:
    pairs, error = split_pairs(["un\tone", "\t", line, "deux\ttwo"], first=5)
    assert pairs == [("un", "one"), ("", "")]
    assert str(error).startswith(f"standard input, line 7: {tabs} tabs;")
    assert split_pairs(["un\tone"], first=5) == ([("un", "one")], None)
