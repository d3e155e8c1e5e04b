"""A progress bar in a terminal, plain lines in a file."""

import pytest

from experiments.runtime.progress import ProgressBar


@pytest.mark.parametrize("colour", ["0", "1"])
def test_a_file_gets_lines_even_where_colours_are_forced(
    colour: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", colour)
    with ProgressBar("counting", 7, "sheep"):
        pass
    assert "\x1b" not in capsys.readouterr().out
