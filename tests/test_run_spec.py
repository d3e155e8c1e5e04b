"""Settings of decoding; tests/test_spec.py checks the choices and ranges of all sections."""

from typing import Any

import pytest

from configs import base
from transformer.run_spec import MIN_TEMPERATURE, DecodeSpec


def decode(**changes: Any) -> DecodeSpec:
    return DecodeSpec.from_config(base.get_config().to_dict()["decode"] | changes, "decode")


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_top_p_is_a_probability(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^decode\.top_p: {value} is not in \(0, 1\]$"):
        decode(top_p=value)


def test_only_sampling_needs_a_temperature_that_float32_can_divide_by() -> None:
    with pytest.raises(ValueError, match=r"^decode\.temperature \(--temperature\): 1e-07 is less than 1e-06"):
        decode(method="sample", temperature=MIN_TEMPERATURE / 10)
    assert decode(method="sample", temperature=MIN_TEMPERATURE).temperature == MIN_TEMPERATURE
    assert decode(method="beam", temperature=MIN_TEMPERATURE / 10).method == "beam"
