"""Parity with the installed PyTorch on new random numbers; needs the extra `parity`."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the same cases are compared with recorded numbers in test_recorded.py")

FOLDER = Path(__file__).parent
SCRIPT = runpy.run_path(str(FOLDER / "make_reference.py"))


@pytest.mark.parametrize("case", SCRIPT["CASES"])
def test_live(compare, case: str) -> None:
    compare(case, SCRIPT["make"](case, seed=1))


@pytest.mark.parametrize("case", SCRIPT["CASES"])
def test_the_reference_is_up_to_date(case: str) -> None:
    with np.load(FOLDER / "reference.npz") as file:
        recorded = {key.removeprefix(f"{case}/"): file[key] for key in file if key.startswith(f"{case}/")}
    for key, array in SCRIPT["compute"](case, recorded).items():
        np.testing.assert_allclose(recorded[key], array, rtol=1e-6, atol=1e-6, err_msg=key)
