"""Files that flags name, and --config with its overrides."""

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, get_args

import pytest
from absl import flags

from experiments.runtime import config_files
from transformer.spec import Spec

ROOT = pathlib.Path(config_files.__file__).parents[2]
QUICKSTART = f"--config={ROOT}/configs/quickstart.py"
OPTIONAL = [
    f"{section.name}.{field.name}"
    for section in dataclasses.fields(Spec)
    for field in dataclasses.fields(section.type)  # pyright: ignore[reportArgumentType]
    if NoneType in get_args(field.type)
]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Parses arguments of a command that has only --config; returns the config."""
    before = set(flags.FLAGS)

    def parse_config(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        config_files.define_config_flag("config of a test")
        try:
            flags.FLAGS(sys.argv)
            return flags.FLAGS["config"].value
        finally:
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)

    yield parse_config
    flags.FLAGS.unparse_flags()


@pytest.mark.parametrize("folder", ["plain", "C:", "a:b:c"])
def test_a_path_may_contain_colons(tmp_path: pathlib.Path, folder: str) -> None:
    file = tmp_path / folder / "D:\\configs\\mine.py"
    file.parent.mkdir()
    file.write_text("def get_sweep(size='small', *more):\n    return size\n")
    assert config_files.split_argument(str(file)) == (str(file), None)
    assert config_files.split_argument(f"{file}:big") == (str(file), "big")
    assert config_files.split_argument(f"{file}:a:b") == (str(file), "a:b")
    assert [config_files.call_function("--sweep", f"{file}{end}", "get_sweep")[0] for end in ("", ":big")] == [
        "small", "big"
    ]  # fmt: skip


def test_a_missing_file_may_have_a_drive_and_an_argument() -> None:
    assert config_files.split_argument("C:\\no.py") == ("C:\\no.py", None)
    assert config_files.split_argument("C:\\no.py:big") == ("C:\\no.py", "big")


@pytest.mark.parametrize("setting", OPTIONAL)
def test_every_optional_setting_accepts_none(parse: Callable[..., Any], tmp_path: pathlib.Path, setting: str) -> None:
    section, key = setting.split(".")
    values: dict[str, Any] = {"cross_score": "dot", "decoder_positions": "none", "muon_dtype": "bfloat16"}
    file = tmp_path / "mine.py"
    file.write_text(
        "from configs import base\ndef get_config():\n    config = base.get_config()\n"
        f"    config.{setting} = {values.get(key, 7)!r}\n    return config\n"
    )
    assert parse(f"--config={file}")[section][key] == values.get(key, 7)
    assert parse(f"--config={file}", f"--config.{setting}=None")[section][key] is None
    assert parse(f"--config={file}", f"--config.{setting}", "None")[section][key] is None


def test_optional_settings_include_those_of_every_section() -> None:
    assert {"data.train_pairs", "model.d_k", "model.cross_score", "train.learning_rate", "evaluate.sentences"} < set(
        OPTIONAL
    )


def test_other_values_and_names_are_unchanged(parse: Callable[..., Any]) -> None:
    config = parse(QUICKSTART, "--config.model.positions=none", "--config.data.train_pairs=11", "--config.model.d_k=5")
    assert (config.model.positions, config.data.train_pairs, config.model.d_k) == ("none", 11, 5)
    with pytest.raises(flags.IllegalFlagValueError, match="train_pairs=many"):
        parse(QUICKSTART, "--config.data.train_pairs=many")
    config = parse(QUICKSTART, "--config.model.heads=None")
    with pytest.raises(ValueError, match=r"^model\.heads: None, but the setting needs a value$"):
        Spec.from_config(config)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.model.haeds=4", r"config\.model\.haeds; did you mean config\.model\.heads\?$"),
        ("--config.modle.heads=4", r"config\.modle\.heads; did you mean config\.model\.heads\?$"),
        ("--config.heads=4", r"config\.heads; did you mean config\.model\.heads\?$"),
        ("--noconfig.model.residul", r"config\.model\.residul; did you mean config\.model\.residual\?$"),
        ("--config.zzz.qqq=4", r"config\.zzz\.qqq$"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(parse: Callable[..., Any], argument: str, message: str) -> None:
    with pytest.raises(flags.Error, match=f"^unknown config key: {message}"):
        parse(QUICKSTART, argument)


def test_an_unknown_argument_suggests_the_nearest(parse: Callable[..., Any]) -> None:
    with pytest.raises(flags.Error, match=r"argument is one of .*; did you mean fast\?$"):
        parse(f"--config={ROOT}/configs/multi30k.py:fsat")
    with pytest.raises(flags.Error, match=r"quickstart\.py:x: TypeError: "):
        parse(f"{QUICKSTART}:x")


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("elsewhere/quickstart.py", f"; the installed one is {ROOT}/configs/quickstart.py"),
        ("table3.py", f"; the installed one is {ROOT}/configs/ablations/table3.py"),
        ("quikstart.py", f"; did you mean quickstart?; the installed files are in {ROOT}/configs"),
        ("zzzzz.py", f"; the installed files are in {ROOT}/configs"),
    ],
)
def test_a_missing_file_names_the_installed_ones(path: str, end: str) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        config_files.load_module("--config", path, "get_config")
    assert str(raised.value) == f"--config: {path} does not exist{end}"


def test_packages_of_the_working_folder_do_not_hide_those_of_the_project(tmp_path: pathlib.Path) -> None:
    for name in ("configs", "transformer", "launch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('theirs')")
    (tmp_path / "mine.py").write_text("from configs.quickstart import get_config\n")
    arguments = ["-m", "experiments.doctor", "--config=mine.py", "--config.data.source=none"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert process.stderr == "error: data.source: 'none' is none of grammar, tfds, files\n"
