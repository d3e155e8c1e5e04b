"""The names and the file of exported parameters."""

import pathlib

import numpy as np
import pytest

from transformer.interop import safetensors


def test_names_are_paths_and_the_file_holds_the_arrays(tmp_path: pathlib.Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy", reason="needs the extra `interop`")
    table_VD = np.arange(35, dtype=np.float32).reshape(5, 7)
    params = {"embed": {"table_VD": table_VD.T}, "encoder": {"0": {"norm": {"scale_D": np.ones(7, np.float64)}}}}
    flat = safetensors.flatten(params)
    assert list(flat) == ["embed.table_VD", "encoder.0.norm.scale_D"]
    safetensors.write(tmp_path / "model.safetensors", flat)
    arrays = numpy.load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(arrays["embed.table_VD"], table_VD.T)
    assert arrays["encoder.0.norm.scale_D"].dtype == np.float32
