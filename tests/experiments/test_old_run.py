"""A run that older code made opens, translates to the same bytes, continues and exports: tests/fixtures/README.md."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from experiments.runs.exporting import export

ROOT = pathlib.Path(__file__).parents[2]
EXPECTED = ROOT / "tests/fixtures/expected"


@pytest.fixture(scope="module")
def old_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the run that may be written to."""
    return pathlib.Path(shutil.copytree(ROOT / "tests/fixtures/run_5543677", tmp_path_factory.mktemp("old") / "run"))


def command(name: str, *flags: str, stdin: bytes = b"") -> bytes:
    program = [sys.executable, "-m", f"experiments.{name}", *flags]
    process = subprocess.run(program, cwd=ROOT, input=stdin, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout


@pytest.mark.parametrize(
    ("file", "flags"),
    [
        # Few rows: a search of many is compiled several times, because it drops the rows that are finished.
        ("beam.en", ["--method=beam", "--beam_size=2", "--batch_size=5"]),
        pytest.param("greedy.en", ["--method=greedy"], marks=pytest.mark.slow),
        pytest.param("n_best.en", ["--beam_size=4", "--n_best=4"], marks=pytest.mark.slow),
    ],
)
def test_it_translates_to_the_same_bytes(file: str, flags: list[str], old_run: pathlib.Path) -> None:
    source = (EXPECTED / "source.fr").read_bytes()
    assert command("translate", f"--workdir={old_run}", *flags, stdin=source) == (EXPECTED / file).read_bytes()


def test_it_exports_the_same_parameters(old_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors", reason="needs the extra `interop`")
    export(str(old_run), "safetensors", str(tmp_path / "out"))
    digest = hashlib.sha256((tmp_path / "out/model.safetensors").read_bytes()).hexdigest()
    assert digest == (EXPECTED / "safetensors.sha256").read_text().strip()


@pytest.mark.slow
def test_it_continues_with_the_same_losses(old_run: pathlib.Path) -> None:
    from experiments.runs import trainer
    from experiments.runs.execute import open_run
    from experiments.runs.workdir import fill_defaults
    from transformer.spec import Spec

    config = fill_defaults(json.loads((old_run / "config.json").read_text()))
    config["train"] |= {"steps": 64, "log_every": 1}
    config["evaluate"] |= {"sentences": 0}
    allowed = ["train.steps", "train.log_every", "evaluate.sentences"]
    trainer.train([open_run(Spec.from_config(config), str(old_run), allowed)])
    events = [json.loads(line) for line in (old_run / "metrics.jsonl").read_text().splitlines()]
    losses = {event["step"]: event["loss"] for event in events if event["split"] == "train"}
    expected = [json.loads(line) for line in (EXPECTED / "continued.jsonl").read_text().splitlines()]
    assert [event["step"] for event in expected] == [61, 62, 63, 64]
    # Another processor adds up in another order.
    np.testing.assert_allclose([losses[event["step"]] for event in expected], [e["loss"] for e in expected], rtol=1e-4)
