"""Peak matmul FLOP/s of accelerators, without sparsity, by JAX's name of a device."""

from collections.abc import Mapping
from typing import NamedTuple


class Peak(NamedTuple):
    """Peak FLOP/s of one JAX device by the precision of its matmuls; None where it has no such matmuls."""

    bfloat16: float | None
    tensorfloat32: float | None
    float32: float


def _tpu(bfloat16: float) -> Peak:
    """A TPU multiplies float32 matrices in 3 or 6 passes of bfloat16: `jax.lax.Precision` HIGH or HIGHEST."""
    return Peak(bfloat16, bfloat16 / 3, bfloat16 / 6)


# By the start of `jax.Device.device_kind`, longer names first. GPUs: tables of NVIDIA's pages and data sheets; those of
# tensor cores count sparsity, and are halved.
#   H100, H200, A100, L40S, L4: nvidia.com/en-us/data-center/ with h100, h200, a100, l40s or l4
#   GH200: data sheet 2705455 (494 and 990 without sparsity)
#   A10G: d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf
#   V100, T4: data sheets 1165301 and 951643
# TPUs: "System architecture" in Google's Cloud TPU documentation, as in launch/planner/topology.py. A device is a chip,
# except on v2, v3 and TPU7x, where it is one of the chip's two cores.
PEAKS: Mapping[str, Peak] = {
    "NVIDIA GH200": Peak(990e12, 494e12, 67e12),
    "NVIDIA H200 NVL": Peak(835e12, 418e12, 60e12),
    "NVIDIA H200": Peak(989e12, 494e12, 67e12),
    "NVIDIA H100 PCIe": Peak(756e12, 378e12, 51e12),
    "NVIDIA H100 NVL": Peak(835e12, 418e12, 60e12),
    "NVIDIA H100": Peak(989e12, 494e12, 67e12),
    "NVIDIA A100": Peak(312e12, 156e12, 19.5e12),
    "NVIDIA L40S": Peak(362e12, 183e12, 91.6e12),
    "NVIDIA L4": Peak(121e12, 60e12, 30.3e12),
    "NVIDIA A10G": Peak(70e12, 35e12, 35e12),
    "Tesla V100-SXM2": Peak(None, None, 15.7e12),
    "Tesla V100-PCIE": Peak(None, None, 14e12),
    "Tesla T4": Peak(None, None, 8.1e12),
    "TPU v2": _tpu(22.5e12),
    "TPU v3": _tpu(61.5e12),
    "TPU v4": _tpu(275e12),
    "TPU v5 lite": _tpu(197e12),
    "TPU v5": _tpu(459e12),
    "TPU v6 lite": _tpu(918e12),
    "TPU7x": _tpu(1153.5e12),
}


def peak_flops(device_kind: str, dtype: str, float32_precision: str) -> float | None:
    """Returns the peak FLOP/s of a device for a model's matmuls; None if it is not known, as for CPUs.

    Args:
      device_kind: `jax.Device.device_kind`.
      dtype: of the matmuls, `model.dtype`.
      float32_precision: of float32 matmuls, `model.matmul_precision`; "default" is bfloat16 on a TPU, TF32 on a GPU.
    """
    peak = next((peak for name, peak in PEAKS.items() if device_kind.startswith(name)), None)
    if peak is None:
        return None
    default = "bfloat16" if device_kind.startswith("TPU") else "tensorfloat32"
    precision = {"default": default}.get(float32_precision, float32_precision) if dtype == "float32" else dtype
    return getattr(peak, precision)
