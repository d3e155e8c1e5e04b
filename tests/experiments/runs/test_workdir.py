"""The folder of a run belongs to one config, one training set and one process at a time."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs.run import Run
from experiments.runs.workdir import Workdir
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
