"""Shell lines of the Markdown pages run as printed, in order, each page in its own copy of the repository.

Blocks that start with ```sh run. A line that cannot run everywhere (a cloud, another host, a placeholder) belongs in a
block that starts with ```text.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "transformer/**/*.md", "configs/**/*.md", "experiments/**/*.md", "launch/**/*.md")
    for path in ROOT.glob(pattern)
    if "results" not in path.parts and path.name not in ("LOG.md", "CHANGELOG.md")
)
LOGS = sorted(
    path.relative_to(ROOT) for path in (ROOT / "experiments").glob("**/*.md") if path.relative_to(ROOT) not in PAGES
)
_BLOCK = re.compile(r"^```(\w+)( \w[^\n]*)?\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")
_SAVED = re.compile(r"[Ss]ave this as `([^`]+)`")
_SETUP = re.compile(r"python3? -m venv|pip install|pre-commit install|\.ci/run|-m pytest|jupyter execute")


def blocks(text: str, language: str) -> Iterator[tuple[int, str]]:
    """Line number and content of each block of a language."""
    for match in _BLOCK.finditer(text):
        if match[1] == language:
            yield text[: match.start()].count("\n") + 2, match[3]


def script(block: str) -> str:
    """Returns a block's commands, without those that install packages or run the tests."""
    joined = block.replace("\\\n", " ")
    commands = []
    for line in joined.splitlines():
        if _SETUP.search(line) or line.startswith(". .venv"):
            parts = [part.strip() for part in line.split("&&")]
            line = " && ".join(part for part in parts if not _SETUP.search(part) and not part.startswith(". .venv"))
        commands.append(line)
    return "\n".join(commands).replace(".venv/bin/python", "python")


def files_to_save(text: str) -> dict[str, str]:
    """Files that a page asks the reader to save, by name: the first Python block after "Save this as `NAME`"."""
    sources = {}
    for match in _SAVED.finditer(text):
        rest = _BLOCK.search(text, match.end())
        assert rest is not None, f"nothing follows {match[0]!r}"
        sources[match[1]] = rest[3]
    return sources


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *LOGS], ids=str)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    missing = []
    for match in _LINK.finditer(text):
        target = ROOT / page.parent / match[1] if match[1] else ROOT / page
        if "://" in match[1]:
            continue
        if not target.exists():
            missing.append(match[0])
        elif match[2] and target.suffix == ".md":
            known = anchors(target.read_text(encoding="utf-8"))
            missing += [] if match[2][1:] in known else [match[0]]
    assert missing == []


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 180
    assert len(text.encode()) <= 14_000


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """The tracked and new files of the repository, where a page may leave runs."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def environment() -> dict[str, str]:
    """This process's environment, with its interpreter as `python` and the modules of the current folder."""
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": "."}


def run(commands: str, where: pathlib.Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs a block; a server that it starts (experiments.serve) keeps running during the blocks after it."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=where, env=environment(), capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def serve(command: str, where: pathlib.Path) -> subprocess.Popen[str]:
    """Starts a server, and waits until it answers on the port that the page uses."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=where, env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    port = int(match[1]) if (match := re.search(r"--port=(\d+)", command)) else 8000
    for _ in range(240):
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return process
    process.kill()
    pytest.fail("the server does not answer")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_shell_line_runs(page: pathlib.Path, checkout: pathlib.Path) -> None:
    text = (checkout / page).read_text(encoding="utf-8")
    for name, content in files_to_save(text).items():
        (checkout / name).write_text(content, encoding="utf-8")
    servers: list[subprocess.Popen[str]] = []
    try:
        for line, block in blocks(text, "sh"):
            commands = script(block)
            if re.search(r"-m experiments\.serve\b", commands):
                servers += [serve(each, checkout) for each in commands.splitlines() if each.strip()]
                continue
            if commands.strip():
                process = run(commands, checkout, 1800)
                assert process.returncode == 0, f"{page}:{line}\n{commands}\n{process.stdout}\n{process.stderr}"
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)


def test_installation_is_left_out_and_continued_lines_are_joined() -> None:
    block = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python -m experiments.train \\\n  --x=1\n"
    assert script(block).split() == ["python", "-m", "experiments.train", "--x=1"]
    assert list(blocks("a\n```sh\nb\n```\n```text\nc\n```\n", "sh")) == [(3, "b\n")]
    assert files_to_save("Save this as `x.py`:\n\n```python\ny = 1\n```\n") == {"x.py": "y = 1\n"}
