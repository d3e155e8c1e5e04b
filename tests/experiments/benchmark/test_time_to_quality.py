import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from experiments.benchmark import time_to_quality

_CURVE = [
    {"step": 400, "minutes": 2.5, "bleu": 40.0, "chrf": 60.0, "bleu_paper": 41.0},
    {"step": 800, "minutes": 5.0, "bleu": 54.0, "chrf": 70.0, "bleu_paper": 55.0},
    {"step": 1200, "minutes": 7.5, "bleu": 53.0, "chrf": 69.0, "bleu_paper": 54.0},
]


def test_the_first_checkpoint_that_reaches_a_target_counts() -> None:
    assert time_to_quality.minutes_to(_CURVE, [41, 41.5, 55, 61.8]) == {"41": 2.5, "41.5": 5.0, "55": 5.0, "61.8": None}
    assert time_to_quality.table(_CURVE).splitlines()[2:] == [
        "| 400 | 2.5 | 40.00 | 60.00 | 41.00 |",
        "| 800 | 5.0 | 54.00 | 70.00 | 55.00 |",
        "| 1,200 | 7.5 | 53.00 | 69.00 | 54.00 |",
    ]


@pytest.mark.slow
def test_every_checkpoint_is_scored(small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path) -> None:
    settings = small(train__steps=6, checkpoint__every=2, checkpoint__keep=1, data__examine="off")
    config = tmp_path / "config.py"
    returned = f"ml_collections.ConfigDict({settings!r})"
    config.write_text(f"import ml_collections\n\n\ndef get_config():\n    return {returned}\n")
    command = [sys.executable, "-m", "experiments.benchmark.time_to_quality", f"--config={config}", "--targets=0,101"]
    result = subprocess.run([*command, f"--workdir={tmp_path / 'run'}"], capture_output=True, text=True, check=True)
    output = json.loads(result.stdout.splitlines()[-1])
    assert [point["step"] for point in output["curve"]] == [2, 4, 6]
    minutes = [point["minutes"] for point in output["curve"]]
    assert 0 < minutes[0] <= minutes[1] <= minutes[2] < 10
    assert output["minutes_to"] == {"0": minutes[0], "101": None}
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000
    again = subprocess.run([*command, f"--workdir={tmp_path / 'run'}"], capture_output=True, text=True)
    assert again.returncode == 2
    assert "is not empty" in again.stderr
