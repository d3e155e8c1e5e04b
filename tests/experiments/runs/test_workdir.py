"""A folder belongs to one run and one process at a time."""

import json
import pathlib
import subprocess
import sys

import pytest

from experiments.runs.workdir import Workdir

HOLD = """
import sys, time
from experiments.runs.workdir import Workdir
with Workdir(sys.argv[1]).held():
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_train_in_one_folder(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=rf"{folder}: a run is being trained here by .*, process {holder.pid}$"),
            Workdir(folder).held(),
        ):
            pytest.fail("two processes hold the folder")
    finally:
        holder.kill()
        holder.communicate()
    with Workdir(folder).held():  # what a killed process has left counts for nothing
        assert [path.stem for path in folder.iterdir()] == ["lock"]


def test_a_new_folder_in_which_nothing_was_done_is_gone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with Workdir(tmp_path / name).held():
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_another_vocabulary_or_corpus_is_refused(tmp_path: pathlib.Path) -> None:
    workdir = Workdir(tmp_path)
    workdir.begin_with("v", "c")
    workdir.begin_with("v", "c")
    with pytest.raises(ValueError, match=r"a run of another corpus \(SHA-256 c there, d here\)$"):
        workdir.begin_with("v", "d")
    with pytest.raises(ValueError, match=r"another vocabulary \(.*\) and another corpus"):
        workdir.begin_with("w", "d")
    assert json.loads((tmp_path / "data.json").read_text(encoding="utf-8")) == {"vocabulary": "v", "corpus": "c"}
    workdir.begin_with("v", "d", allowed=("corpus",))
    workdir.begin_with("v", "d")


def test_few_of_many_spoiled_updates_are_written_down(tmp_path: pathlib.Path) -> None:
    for update in range(50):
        assert Workdir(tmp_path).spoil(update, {7: ["x"]}) == tmp_path / "nonfinite" / f"{update}.json"
    assert len(list((tmp_path / "nonfinite").iterdir())) == 20
