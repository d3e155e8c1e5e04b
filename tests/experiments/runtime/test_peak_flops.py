"""Peaks of devices by JAX's names."""

import pytest

from experiments.runtime.peak_flops import PEAKS, peak_flops
from launch.planner.topology import GENERATIONS


@pytest.mark.parametrize(
    ("kind", "dtype", "precision", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", "default", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", "float32", 756e12),
        ("NVIDIA A100-SXM4-40GB", "float32", "float32", 19.5e12),
        ("NVIDIA A100-SXM4-40GB", "float32", "default", 156e12),
        ("NVIDIA L40S", "float32", "tensorfloat32", 183e12),
        ("TPU v5 lite", "float32", "float32", 197e12 / 6),
        ("TPU v5p", "float32", "default", 459e12),
        ("TPU v6 lite", "bfloat16", "float32", 918e12),
        ("Tesla T4", "bfloat16", "default", None),
        ("cpu", "float32", "float32", None),
        ("NVIDIA Unknown 9000", "bfloat16", "default", None),
    ],
)
def test_peak_of_a_device(kind: str, dtype: str, precision: str, expected: float | None) -> None:
    assert peak_flops(kind, dtype, precision) == expected


def test_a_name_does_not_hide_a_longer_one() -> None:
    names = list(PEAKS)
    for number, name in enumerate(names):
        assert not [other for other in names[number + 1 :] if other.startswith(name)]


def test_tpus_have_the_peaks_of_the_planner() -> None:
    kinds = {"v2": "TPU v2", "v3": "TPU v3", "v4": "TPU v4", "v5e": "TPU v5 lite", "v5p": "TPU v5p"}
    kinds |= {"v6e": "TPU v6 lite", "tpu7x": "TPU7x"}
    assert kinds.keys() == GENERATIONS.keys()
    for name, kind in kinds.items():
        assert peak_flops(kind, "bfloat16", "default") == GENERATIONS[name].flops / GENERATIONS[name].cores
