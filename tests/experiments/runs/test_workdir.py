"""The folder of a run belongs to one config, one training set and one process at a time."""

import json
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs import workdir as workdirs
from experiments.runs.run import Run
from experiments.runs.workdir import Workdir
from experiments.runtime import leases
from transformer.spec import Spec

HOLD = """
import sys, time
from experiments.runs.workdir import Workdir
with Workdir(sys.argv[1]).locked():
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
            pytest.raises(
                ValueError, match=rf"{folder}: another process trains in this folder: .*, process {holder.pid}$"
            ),
            Workdir(folder).locked(),
        ):
            pytest.fail("two processes hold the folder")
    finally:
        holder.kill()
        holder.communicate()
    with Workdir(folder).locked():  # the lock of a killed process does not count
        assert [path.stem for path in folder.iterdir()] == ["lock"]


def test_a_process_can_wait_for_the_lock_of_another(tmp_path: pathlib.Path) -> None:
    held = leases.acquire(tmp_path, "lock", 60)
    assert held is not None
    threading.Timer(0.3, held.release).start()
    with Workdir(tmp_path).locked(wait=30):
        assert not held.held()


def test_an_unused_new_folder_is_deleted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with Workdir(tmp_path / name).locked():
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_another_vocabulary_or_corpus_is_an_error(tmp_path: pathlib.Path) -> None:
    workdir = Workdir(tmp_path)
    workdir.check_data("v", "c")
    workdir.check_data("v", "c")
    with pytest.raises(ValueError, match=r"a run of another corpus \(SHA-256 c in the folder, d now\)$"):
        workdir.check_data("v", "d")
    with pytest.raises(ValueError, match=r"another vocabulary \(.*\) and another corpus"):
        workdir.check_data("w", "d")
    assert json.loads((tmp_path / "data.json").read_text(encoding="utf-8")) == {"vocabulary": "v", "corpus": "c"}
    workdir.check_data("v", "d", allowed=("corpus",))
    workdir.check_data("v", "d")


def test_the_number_of_skipped_update_files_is_limited(tmp_path: pathlib.Path) -> None:
    for update in range(50):
        assert Workdir(tmp_path).write_skipped_update(update, {7: ["x"]}) == tmp_path / "nonfinite" / f"{update}.json"
    assert len(list((tmp_path / "nonfinite").iterdir())) == 20


Small = Callable[..., dict[str, Any]]


def test_a_folder_of_another_config_is_an_error_and_unchanged(small: Small, trained: pathlib.Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    spec = Spec.from_config(small(model__heads=4, train__seed=3))
    with pytest.raises(
        ValueError, match=r"model.heads \(in the folder 3, now 4\), train.seed \(in the folder 0, now 3\)"
    ):
        Run.open(spec, str(trained), (), clock=lambda: 0.0)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()} == before


def test_settings_without_effect_on_results_may_differ(small: Small, trained: pathlib.Path) -> None:
    Workdir(trained).create_or_check(Spec.from_config(small(train__log_every=5, decode__beam_size=2)))
    with pytest.raises(ValueError, match=r"train.steps"):
        Workdir(trained).create_or_check(Spec.from_config(small(train__steps=7)))
    Workdir(trained).create_or_check(Spec.from_config(small()))


def test_a_missing_setting_has_its_base_value(small: Small, trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config_json = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    del config_json["model"]["norm_kind"], config_json["parallel"]
    (tmp_path / "config.json").write_text(json.dumps(config_json), encoding="utf-8")
    assert Workdir(tmp_path).spec() == Spec.from_config(small())
    with pytest.raises(ValueError, match=r"model.norm_kind \(in the folder 'layer', now 'rms'\)"):
        Workdir(tmp_path).create_or_check(Spec.from_config(small(model__norm_kind="rms")))
    Workdir(tmp_path).create_or_check(Spec.from_config(small()))
    config_json["model"]["zeta"] = 1
    (tmp_path / "config.json").write_text(json.dumps(config_json), encoding="utf-8")
    with pytest.raises(ValueError, match=r"unknown key: model\.zeta"):
        Workdir(tmp_path).spec()


def test_a_folder_from_before_model_score_has_its_default(
    small: Small, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """An old config has the former default of model.cross_score, "dot"."""
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    del config["model"]["score"]
    config["model"]["cross_score"] = "dot"
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    Workdir(tmp_path).create_or_check(Spec.from_config(small()))
    with pytest.raises(ValueError, match=r"model\.score .*'dot'.*'cosine'"):
        Workdir(tmp_path).create_or_check(Spec.from_config(small(model__score="cosine")))


def test_a_folder_with_other_files_is_an_error(small: Small, tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty, but no run"):
        Workdir(tmp_path).create_or_check(Spec.from_config(small()))
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_an_unknown_run_suggests_the_nearest(tmp_path: pathlib.Path) -> None:
    for name in ("quickstart", "big"):
        (tmp_path / name).mkdir()
    (tmp_path / "quickstart/config.json").write_text("{}")
    end = rf"config\.json is missing\); did you mean {tmp_path}/quickstart\?$"
    with pytest.raises(FileNotFoundError, match=end):
        Workdir(tmp_path / "quikstart").spec()
    for name in ("bgi", "missing/quickstart"):  # `big` is no run
        with pytest.raises(FileNotFoundError, match=r"config\.json is missing\)$"):
            Workdir(tmp_path / name).spec()


@pytest.mark.parametrize("name", ["[a]", "a]", "a\\b", "[0]/run"])
def test_a_path_that_checkpoints_do_not_support_is_an_error(small: Small, tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"^--workdir: .*; choose another$"):
        Workdir(tmp_path / name).create_or_check(Spec.from_config(small()))
    assert list(tmp_path.iterdir()) == []


def git(folder: pathlib.Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(folder: pathlib.Path) -> str:
    """Makes a repository of the files in a folder; returns its commit."""
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "a", "--allow-empty")
    return git(folder, "rev-parse", "HEAD")


def test_the_commit_is_that_of_this_project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, installed = tmp_path / "other", tmp_path / "other/.venv/lib/site-packages"
    module = installed / "experiments/runs/workdir.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    monkeypatch.setattr(workdirs, "__file__", str(module))
    assert workdirs.commit() is None
    theirs = repository(other)  # with the virtual environment in it
    assert workdirs.commit() is None
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # in a hook
    assert workdirs.commit() is None
    monkeypatch.delenv("GIT_DIR")
    ours = repository(installed)  # a checkout inside of the other repository
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert workdirs.commit() == ours != theirs
    module.write_text("changed")
    assert workdirs.commit() == f"{ours}+"


def test_a_copy_without_a_repository_keeps_its_commit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workdirs, "__file__", str(tmp_path / "experiments/runs/workdir.py"))
    (tmp_path / ".commit").write_text("abc+\n")
    assert workdirs.commit() == "abc+"
    (tmp_path / ".commit").write_text("\n")  # the copy was made from an installation
    assert workdirs.commit() is None
