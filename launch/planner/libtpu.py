"""Abstract TPU devices: libtpu compiles for them on any Linux machine."""

import importlib.util
import os
import sys
from typing import Any

from launch.planner.topology import Topology

# libtpu queries the metadata server of a Google Cloud machine, and lets one process of a machine load it at a time.
# Neither is useful when no TPU is opened. Its default log folder is shared by all users of the machine.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5e-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_LOG_DIR": "disabled",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
}


def installed() -> bool:
    """Returns whether libtpu is installed."""
    return importlib.util.find_spec("libtpu") is not None


def prepare() -> None:
    """Sets the environment variables that libtpu reads when it is loaded.

    Raises:
      ValueError: libtpu is not installed.
    """
    if not installed():
        raise ValueError(
            "libtpu, which launch.plan compiles with, is not installed: pip install -e '.[tpu]' (on Linux)"
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"  # leaves a TPU of this machine free for training


def devices(topology: Topology) -> list[Any]:
    """Returns the devices of a slice, chips or their cores: to compile for, not to run on.

    Raises:
      ValueError: libtpu does not know the topology.
    """
    from jax.errors import JaxRuntimeError
    from jax.experimental import topologies

    try:
        host, chip = topology.chips_per_host, topology.generation.libtpu_config
        description = topologies.get_topology_desc(
            platform="tpu", topology_name=str(topology), chips_per_host_bounds=host, chip_config_name=chip
        )
        return list(description.devices)
    except JaxRuntimeError as error:
        raise ValueError(f"--topology: libtpu has no {topology}: {error}") from error
