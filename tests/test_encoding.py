"""Every text file and every pipe names its encoding: the default is that of the locale."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("configs", "experiments", "launch", "transformer")


def calls_without_encoding(text: str) -> list[int]:
    """Returns the lines of calls that read or write text in the encoding of the locale."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        # Three arguments: the method of another class.
        is_path = (name == "read_text" and not node.args) or (name == "write_text" and len(node.args) == 1)
        is_pipe = "text" in keywords and name in ("run", "Popen", "check_output")
        modes = [*node.args[1:2], *([keywords["mode"]] if "mode" in keywords else [])]
        is_file = name == "open" and isinstance(node.func, ast.Name) and "b" not in str(modes and ast.unparse(modes[0]))
        if (is_path or is_pipe or is_file) and "encoding" not in keywords:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("folder", FOLDERS)
def test_text_has_an_encoding(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = [f"{file}:{line}" for file in files for line in calls_without_encoding(file.read_text(encoding="utf-8"))]
    assert found == []


def test_the_check_finds_calls() -> None:
    text = """
path.read_text()
path.write_text("é")
open(path)
open(path, "w")
subprocess.run(line, text=True)
path.read_text(encoding="utf-8")
open(path, "rb")
open(path, mode="wb")
subprocess.run(line, encoding="utf-8")
recorder.write_text(step, name, text)
"""
    assert calls_without_encoding(text) == [2, 3, 4, 5, 6]
