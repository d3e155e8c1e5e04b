"""Fixtures: a stand-in cloud and a stand-in cluster in a folder, first on PATH; and a tiny spec for plans."""

import functools
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from configs import base
from launch.command_line import ROOT
from launch.planner import libtpu
from launch.tpu_vm import pack_repository
from tests.launch.cloud import Cloud
from tests.launch.cluster import Cluster
from transformer.spec import Spec

QUICKSTART = "--config=configs/quickstart.py"
TRAINER = f"{sys.executable} -S {pathlib.Path(__file__).with_name('trainer.py')}"
compiles = pytest.mark.skipif(not libtpu.installed(), reason="needs libtpu: pip install -e '.[tpu]'")


def run_module(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the repository."""
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def assert_user_error(result: subprocess.CompletedProcess[str], message: str) -> None:
    """Checks that a command printed one line, which contains the message, and exited with status 2."""
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


@pytest.fixture
def make_cloud(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Cloud]]:
    """Returns a factory of a stand-in cloud whose workers run the given command as Python; kills their processes."""
    cloud = Cloud(tmp_path / "cloud")
    monkeypatch.setenv("PATH", f"{cloud.folder}/bin", prepend=":")

    def make(python: str) -> Cloud:
        cloud.install(python)
        return cloud

    yield make
    cloud.end()


@pytest.fixture
def cloud(make_cloud: Callable[[str], Cloud]) -> Cloud:
    """A stand-in cloud whose workers run tests/launch/trainer.py instead of Python."""
    return make_cloud(TRAINER)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The archive of the repository."""
    path = tmp_path_factory.mktemp("packed") / "code.tar.gz"
    pack_repository(path)
    return path


@pytest.fixture
def packed_once(packed: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs the repository once for all tests."""
    monkeypatch.setattr("launch.tpu_vm.pack_repository", functools.partial(shutil.copy, packed))


@pytest.fixture
def cluster(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A stand-in SLURM cluster; kills the processes of its jobs."""
    slurm = Cluster(tmp_path / "cluster")
    slurm.install()
    monkeypatch.setenv("PATH", f"{slurm.folder}/bin", prepend=":")
    yield slurm
    slurm.end()


def tiny_spec(**changes: Any) -> Spec:
    """Returns a spec of a tiny model; `changes` maps section__key to a value."""
    config = base.get_config()
    sizes = {
        "model.d_model": 8, "model.d_ff": 16, "model.heads": 2, "model.encoder_layers": 1, "model.decoder_layers": 1,
        "data.vocab_size": 32, "data.max_length": 7, "data.tokens_per_batch": 45, "decode.max_extra_length": 3,
        "decode.batch_size": 4, "decode.beam_size": 2, "train.steps": 1000, "train.accumulate": 2,
    }  # fmt: skip
    config.update_from_flattened_dict(sizes | {key.replace("__", "."): value for key, value in changes.items()})
    return Spec.from_config(config.to_dict())
