"""launch.plan: user errors are one line, and the compiled cost agrees with arithmetic."""

import functools
import json
import subprocess
import sys

import pytest

from launch.command_line import ROOT
from launch.plan import plan
from launch.planner import libtpu
from launch.planner.topology import Topology
from tests.launch.conftest import QUICKSTART, assert_user_error, compiles, run_module, tiny_spec

command = functools.partial(run_module, "launch.plan")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--config and --topology are needed"),
        ([QUICKSTART, "--topology=v5e:3x3"], "there is no slice v5e:3x3"),
        ([QUICKSTART, "--topology=v5e:2x2", "--width=61"], "--width: 61 is more than data.max_length=60"),
    ],
)
def test_user_errors_are_one_line_with_status_2(flags: list[str], message: str) -> None:
    assert_user_error(command(*flags), message)


def test_the_command_does_not_import_jax_to_parse_flags() -> None:
    code = "import sys, launch.plan; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_without_libtpu_the_error_gives_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libtpu, "installed", lambda: False)
    with pytest.raises(ValueError, match=r"libtpu, .* is not installed: pip install -e '\.\[tpu\]'"):
        plan(tiny_spec(), Topology.parse("v5e:2x2"), 7)


@compiles
def test_cost_of_a_step_on_four_chips(capsys: pytest.CaptureFixture[str]) -> None:
    result = plan(tiny_spec(train__loss_chunk=24), Topology.parse("v5e:2x2"), 7)
    assert result["fits"]
    # 45 // 7 = 6 rows, padded so that four chips can share them.
    assert result["batch"] == {"rows": 8, "source": 7, "target": 7}
    step = result["training"]
    # Every chip holds the parameters, Adam's two moments and the accumulated gradients, each once.
    assert 16 * result["parameters"] <= step["memory_bytes"]["arguments"] < step["memory_bytes"]["total"]
    # One all-reduce of the gradients and of the three sums of the loss. The keys' biases have no gradient: 8 in each of
    # three attentions.
    assert set(step["collectives"]) == {"all-reduce"}
    assert step["collectives"]["all-reduce"]["bytes"] == 4 * (result["parameters"] - 3 * 8) + 3 * 4
    assert step["batches"] == 2000
    assert step["hours"] == pytest.approx(2000 * step["seconds"]["total"] / 3600)
    assert step["chip_hours"] == 4 * step["hours"]
    # The loop over chunks of the loss has a known trip count; the search loop stops when all hypotheses are finished.
    assert (step["open_loops"], result["decoding"]["open_loops"]) == (0, 1)
    assert result["decoding"]["steps"] == 10
    assert result["decoding"]["collectives"] == {}  # chips search independently
    text = capsys.readouterr().out
    assert "6 × 7 source and 7 target tokens, padded to 8 rows; the widest batch" in text
    assert "training step, compiled in" in text


@pytest.mark.slow
@compiles
def test_the_command_ends_with_one_json_object() -> None:
    result = command(QUICKSTART, "--topology=v5e:2x2", "--nodecode")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout.splitlines()[-1])["topology"] == "v5e:2x2"
