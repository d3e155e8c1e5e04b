"""TPU devices that are not there: libtpu compiles for them on any Linux machine."""

import importlib.util
import os
import sys
from typing import Any

from launch.planner.topology import Slice

# libtpu looks for a machine of Google's cloud around it, and lets one process of a machine load it at a time; neither
# matters where no TPU is opened. Its log would go to a folder that all users of the machine share.
_SETTINGS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5e-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_LOG_DIR": "disabled",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
}


def installed() -> bool:
    """Whether there is a libtpu."""
    return importlib.util.find_spec("libtpu") is not None


def prepare() -> None:
    """Sets what libtpu must find in the environment when it is loaded.

    Raises:
      ValueError: there is no libtpu.
    """
    if not installed():
        raise ValueError(
            "libtpu, which launch.plan compiles with, is not installed: pip install -e '.[tpu]' (on Linux)"
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"  # a TPU that this machine may have is left to who trains on it


def devices(where: Slice) -> list[Any]:
    """The devices of a slice, one a chip: to compile for, not to run on.

    Raises:
      ValueError: libtpu does not know the slice.
    """
    from jax.errors import JaxRuntimeError
    from jax.experimental import topologies

    try:
        topology = topologies.get_topology_desc(
            platform="tpu",
            topology_name=str(where),
            chips_per_host_bounds=where.host,
            chip_config_name=where.generation.config,
        )
    except JaxRuntimeError as error:
        raise ValueError(f"--topology: libtpu has no {where}: {error}") from error
    return list(topology.devices)
