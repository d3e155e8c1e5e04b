"""A cloud and a cluster in a folder, first on PATH."""

import pathlib
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.launch.cloud import Cloud
from tests.launch.cluster import Cluster

TRAINER = f"{sys.executable} -S {pathlib.Path(__file__).with_name('trainer.py')}"


@pytest.fixture
def make_cloud(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Cloud]]:
    """Makes a stand-in of Cloud TPU whose workers run what is given for Python; ends all they have started."""
    made: list[Cloud] = []

    def make(python: str) -> Cloud:
        cloud = Cloud(tmp_path / "cloud")
        cloud.install(python)
        monkeypatch.setenv("PATH", f"{cloud.folder}/bin", prepend=":")
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        cloud.end()


@pytest.fixture
def cloud(make_cloud: Callable[[str], Cloud]) -> Cloud:
    """One whose workers only count."""
    return make_cloud(TRAINER)


@pytest.fixture
def cluster(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A stand-in of SLURM; kills all that is left of its jobs."""
    made = Cluster(tmp_path / "cluster")
    made.install()
    monkeypatch.setenv("PATH", f"{made.folder}/bin", prepend=":")
    yield made
    made.end()
