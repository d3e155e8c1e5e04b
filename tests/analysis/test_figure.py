"""Figures are saved in each format, and equal figures give equal files."""

from pathlib import Path

import pytest

from transformer.analysis.figure import new_figure, save_figure


def draw(path: Path) -> list[Path]:
    figure = new_figure(3, 2)
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], [2, 3, 5], label="loss")
    axes.legend()
    return save_figure(figure, path, ["png", "svg", "pdf"], dpi=50)


def test_each_format_is_written_and_is_reproducible(tmp_path: Path) -> None:
    first, second = draw(tmp_path / "loss_0.5"), draw(tmp_path / "again")
    assert [path.name for path in first] == ["loss_0.5.png", "loss_0.5.svg", "loss_0.5.pdf"]
    assert [path.read_bytes()[:4] for path in first] == [b"\x89PNG", b"<?xm", b"%PDF"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_size_is_in_inches() -> None:
    assert new_figure(3, 2).get_size_inches().tolist() == pytest.approx([3, 2])
