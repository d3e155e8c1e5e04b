"""Eight devices that divide rows, parameters, heads and words in any way learn and find what one device does."""

import os
import pathlib
import pickle
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from transformer.spec import ParallelSpec
from transformer.training.parallel import MeshPlacement
from transformer.training.partitioning import partition, partitions

ROOT = pathlib.Path(__file__).parents[2]
MESHES = ("8.1.1", "1.8.1", "1.1.8", "4.2.1", "2.1.4", "1.2.4", "pmap")
WAYS = {"transformer": MESHES, "rnnsearch": ("8.1.1", "1.8.1", "2.2.2"), "seq2seq": ("8.1.1", "1.8.1", "2.2.2")}


def run(path: pathlib.Path, what: str, architecture: str, *ways: str) -> dict[str, dict[str, Any]]:
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"  # the last one counts
    subprocess.run(
        [sys.executable, "-m", "tests.training.eight", str(path / "found"), what, architecture, "one", *ways],
        env=os.environ | {"XLA_FLAGS": flags},
        cwd=ROOT,
        check=True,
    )
    return pickle.loads((path / "found").read_bytes())


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert np.isfinite(one["losses"]).all()
    np.testing.assert_allclose(other["losses"], one["losses"], rtol=1e-5)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(one["first"]))
    for part in ("first", "params"):
        assert jax.tree.structure(other[part]) == jax.tree.structure(one[part])
        for found, expected in zip(jax.tree.leaves(other[part]), jax.tree.leaves(one[part]), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * largest)


def test_a_mesh_of_three_axes_is_one_device(tmp_path: pathlib.Path) -> None:
    found = run(tmp_path, "train", "transformer", "2.2.2")
    assert_same(found["one"], found["2.2.2"])
    # Vectors along the model's width are whole everywhere, all else is in quarters.
    assert found["2.2.2"]["held"] < 0.4 * found["one"]["held"]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WAYS)
def test_every_mesh_is_one_device(architecture: str, tmp_path: pathlib.Path) -> None:
    found = run(tmp_path, "train", architecture, *WAYS[architecture])
    for way in WAYS[architecture]:
        assert_same(found["one"], found[way])
    assert found["8.1.1"]["held"] == found["one"]["held"]
    assert found["1.8.1"]["held"] < 0.3 * found["one"]["held"]


@pytest.mark.slow
def test_every_mesh_is_one_device_in_bfloat16(tmp_path: pathlib.Path) -> None:
    """But for roundings: nearer to one device in bfloat16 than that is to one in float32."""
    found = run(tmp_path, "train", "transformer:bfloat16", "8.1.1", "1.8.1", "2.2.2", "pmap")
    exact = run(tmp_path, "train", "transformer")["one"]
    one = found.pop("one")
    rounding = np.abs(one["losses"] / exact["losses"] - 1).max()
    assert 1e-5 < rounding < 0.02
    for each in found.values():
        assert np.abs(each["losses"] / one["losses"] - 1).max() < rounding


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WAYS)
def test_every_mesh_finds_what_one_device_finds(architecture: str, tmp_path: pathlib.Path) -> None:
    found = run(tmp_path, "find", architecture, "8.1.1", "1.8.1", "2.2.2")
    for way in ("8.1.1", "1.8.1", "2.2.2"):
        np.testing.assert_array_equal(found[way]["tokens"], found["one"]["tokens"])
        np.testing.assert_allclose(found[way]["scores"], found["one"]["scores"], rtol=1e-4)


SIZES = {"data": 1, "fsdp": 2, "tensor": 3}


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("params.decoder.0.feed_forward.inner.kernel", (4, 6), ("fsdp", "tensor")),
        ("optimizer.0.mu.decoder.0.feed_forward.outer.kernel", (6, 4), ("tensor", "fsdp")),
        ("params.embed_source.table_VD", (9, 4), ("tensor", "fsdp")),
        ("params.embed_source.table_VD", (10, 4), (None, "fsdp")),  # three do not divide ten
        ("params.embed_source.table_VD", (10, 5), ()),
        ("params.encoder.0.self_attention.to_key.bias", (6,), ("tensor",)),
        ("params.output.bias_V", (6,), ("tensor",)),
        ("params.encoder.0.norm.scale_D", (6,), ()),
        ("optimizer.0.v_row.decoder.0.feed_forward.inner.kernel", (4,), ()),  # of another rank than the parameter
        ("params.encoder.0.cell.recurrent_RG", (4, 12), ("fsdp", None)),
    ],
)
def test_how_a_parameter_is_divided(name: str, shape: tuple[int, ...], expected: tuple[str | None, ...]) -> None:
    assert partition(name, shape, SIZES) == PartitionSpec(*expected)


def test_where_nothing_is_divided_no_axis_is_named() -> None:
    shapes = {"inner": {"kernel": jax.ShapeDtypeStruct((4, 6), np.float32)}}
    assert partitions(shapes, dict.fromkeys(SIZES, 1)) == {"inner": {"kernel": PartitionSpec()}}


def test_devices_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"parallel.fsdp=3 × parallel.tensor=5 do not divide 2 devices"):
        MeshPlacement(jax.devices()[:2], fsdp=3, tensor=5)


def test_pmap_divides_data_alone() -> None:
    with pytest.raises(ValueError, match=r"parallel.mode=pmap divides data alone: parallel.fsdp=2"):
        ParallelSpec(mode="pmap", fsdp=2, tensor=1, distributed="auto", cpu_devices=2)
