import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.benchmark import devices
from experiments.runtime.subprocesses import call


@pytest.mark.slow
def test_losses_do_not_depend_on_the_partitioning(small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path) -> None:
    measurements = []
    for count, changes in ((1, {}), (4, {"mode": "pmap"}), (4, {"fsdp": 2, "tensor": 2})):
        config = small(data__examine="off", model__d_model=24)
        config["parallel"] |= changes
        measurement = call(devices.measure, config, count, 5, str(tmp_path))
        measurements.append({"devices": count, "way": "mesh", "off": 0.0} | measurement)
    for measurement in measurements[1:]:
        assert measurement["losses"] == pytest.approx(measurements[0]["losses"], rel=1e-5)
    assert measurements[2]["parameter_bytes_a_device"] < 0.4 * measurements[0]["parameter_bytes_a_device"]
    assert len(devices.table(measurements).splitlines()) == 2 + len(measurements)
