"""A progress bar in a terminal, plain lines in a file."""

import pytest

from experiments.runtime.progress import ProgressBar


@pytest.mark.parametrize("colour", ["0", "1"])
def test_files_get_plain_lines_despite_forced_colours(
    colour: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", colour)
    with ProgressBar("counting", 7, "sheep"):
        pass
    assert "\x1b" not in capsys.readouterr().out
