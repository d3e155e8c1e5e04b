"""launch/sky.yaml: the command that each host runs, and SkyPilot's own check of the file."""

import os
import pathlib
import subprocess
from typing import Any

import pytest
import yaml

FILE = pathlib.Path(__file__).parents[2] / "launch" / "sky.yaml"
COORDINATOR = {"JAX_COORDINATOR_ADDRESS": "10.0.0.2:1234", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
# Prints the arguments and the environment of training, instead of training.
PYTHON = '#!/bin/sh\necho "$@"\nenv | grep ^JAX_ | sort\n'


@pytest.fixture(scope="module")
def task() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("extra", "nodes", "flags", "environment"),
    [
        ("gpu", "1", "", {}),
        ("gpu", "2", "", COORDINATOR),
        ("tpu", "1", "", {}),
        ("tpu", "2", " --config.parallel.distributed=on", {}),
    ],
)
def test_the_command_of_a_host(
    task: dict[str, Any], tmp_path: pathlib.Path, extra: str, nodes: str, flags: str, environment: dict[str, str]
) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    given = {"WORKDIR": "gs://bucket/a run", "EXTRA": extra, "FLAGS": "--config.train.steps=7"}
    of_sky = {"SKYPILOT_NUM_NODES": nodes, "SKYPILOT_NODE_RANK": "1", "SKYPILOT_NODE_IPS": "10.0.0.2\n10.0.0.3"}
    base = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        ["bash", "-c", task["run"]],
        cwd=tmp_path,
        env=base | task["envs"] | given | of_sky,
        capture_output=True,
        text=True,
    )
    command, *variables = done.stdout.splitlines()
    config = f"--config={task['envs']['CONFIG']}"
    expected = f"-m experiments.train {config} --workdir=gs://bucket/a run --config.train.steps=7{flags}"
    assert (command, variables) == (expected, [f"{name}={value}" for name, value in environment.items()])


def test_extras_exist(task: dict[str, Any]) -> None:
    text = (FILE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert ".[$EXTRA,gcs]" in task["setup"]
    for extra in ("gpu", "tpu", "gcs"):
        assert f"\n{extra} = [" in text


def test_skypilot_accepts_the_file() -> None:
    sky = pytest.importorskip("sky", reason="needs SkyPilot in an environment of its own: pip install skypilot pytest")
    with pytest.raises(ValueError, match="WORKDIR"):
        sky.Task.from_yaml(str(FILE))
    task = sky.Task.from_yaml_config(yaml.safe_load(FILE.read_text()), env_overrides=[("WORKDIR", "gs://bucket/run")])
    (resources,) = task.resources
    assert (task.num_nodes, resources.use_spot, resources.accelerators) == (1, True, {"L4": 1})
    assert resources.job_recovery["recover_on_exit_codes"] == [143]
    misspelt = yaml.safe_load(FILE.read_text())
    misspelt["resources"]["use_spots"] = True
    with pytest.raises(ValueError, match="use_spots"):
        sky.Task.from_yaml_config(misspelt, env_overrides=[("WORKDIR", "gs://bucket/run")])
