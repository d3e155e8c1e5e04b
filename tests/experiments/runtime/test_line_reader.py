"""Lines from a pipe, as they arrive."""

import os
import threading

import pytest

from experiments.runtime.line_reader import LineReader


def test_a_line_does_not_wait_for_the_next() -> None:
    out, into = os.pipe()
    chunks = LineReader(out).chunks(5)
    os.write(into, "é\n\n".encode() + b"cut o")
    assert next(chunks) == (1, ["é", ""])
    later = threading.Timer(0.2, os.write, (into, b"ff\r\nx"))
    later.start()
    assert next(chunks) == (3, ["cut off"])
    later.join()
    os.close(into)
    assert list(chunks) == [(4, ["x"])]
    os.close(out)


def test_many_lines_come_in_chunks_in_order(tmp_path) -> None:
    lines = [f"line {number} {'x' * (number % 97)}" for number in range(3001)]
    (tmp_path / "lines").write_text("\n".join(lines) + "\n")
    with (tmp_path / "lines").open("rb") as file:
        all_chunks = list(LineReader(file.fileno()).chunks(1009))
    assert [line for _, chunk in all_chunks for line in chunk] == lines
    assert [first for first, _ in all_chunks] == [1, 1010, 2019]


def test_invalid_utf8_is_reported_after_the_lines_before_it(tmp_path) -> None:
    (tmp_path / "lines").write_bytes(b"a\nb\n\xff\nc\n")
    with (tmp_path / "lines").open("rb") as file:
        chunks = LineReader(file.fileno(), "here").chunks(9)
        assert next(chunks) == (1, ["a", "b"])
        with pytest.raises(ValueError, match="here: line 3 is not UTF-8: invalid start byte"):
            next(chunks)


def test_empty_input_has_no_lines() -> None:
    out, into = os.pipe()
    os.close(into)
    assert list(LineReader(out).chunks(3)) == []
    os.close(out)
