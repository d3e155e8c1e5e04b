"""Figures are saved in each format, and equal figures give equal files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transformer.analysis.figure import new_figure, optional, save_figure


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


def test_a_large_figure_has_fewer_pixels_per_inch(tmp_path: Path) -> None:
    figure = new_figure(700, 190)
    (path,) = save_figure(figure, tmp_path / "large", ["png"], dpi=110)
    head = path.read_bytes()[:24]
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    assert width * height <= 1 << 25
    assert width / height == pytest.approx(700 / 190, rel=1e-2)


def test_a_figure_that_fails_is_a_warning() -> None:
    @optional
    def draw(size: int) -> int:
        if size > 1:
            raise MemoryError("too large")
        return size

    assert draw(1) == 1
    with pytest.warns(UserWarning, match="no figure: draw: MemoryError: too large"):
        assert draw(2) is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "module://nowhere"])
def test_the_backend_of_a_notebook_is_not_used(tmp_path: Path, backend: str) -> None:
    code = (
        "import pathlib, sys; from transformer.analysis.figure import new_figure, save_figure; "
        "figure = new_figure(3, 2); figure.add_subplot().plot([1, 2]); "
        "save_figure(figure, pathlib.Path(sys.argv[1]), ['png', 'svg'])"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], env=environment, check=True)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_characters_that_the_font_lacks_give_one_warning(tmp_path: Path) -> None:
    figure = new_figure(3, 2)
    figure.add_subplot().set_title("我喜欢猫")
    with pytest.warns(UserWarning, match="^the figure's font lacks some of its characters") as warned:
        save_figure(figure, tmp_path / "cat", ["png", "svg"])
    assert len(warned) == 1
