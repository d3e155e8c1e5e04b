"""Parity with PyTorch's outputs and gradients as recorded by make_reference.py; needs no PyTorch."""

from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).with_name("reference.npz")
CASES = ["loss", "self_attention", "cross_attention", "lstm", "gru"] + [
    f"{part}_{norm}" for part in ("encoder", "decoder", "model") for norm in ("post", "pre")
]


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, np.ndarray]]:
    with np.load(FILE) as file:
        cases: dict[str, dict[str, np.ndarray]] = {}
        for key in file:
            case, _, name = key.partition("/")
            cases.setdefault(case, {})[name] = file[key]
    return cases


def test_cases_are_those_of_the_reference(reference) -> None:
    assert sorted(reference) == sorted(CASES)
    assert FILE.stat().st_size < 300_000


@pytest.mark.parametrize("case", CASES)
def test_recorded(compare, reference, case: str) -> None:
    compare(case, reference[case])
