"""Eight devices with any partitioning of rows, parameters, heads and words train and decode like one device."""

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

from experiments.runtime.xla_env import THREADS_PER_DEVICE
from transformer.spec import ParallelSpec
from transformer.training.parallel import MeshPartitioner
from transformer.training.partitioning import partition_spec, partition_specs

ROOT = pathlib.Path(__file__).parents[2]
MESHES = ("8.1.1", "1.8.1", "1.1.8", "4.2.1", "2.1.4", "1.2.4", "pmap")
WAYS = {"transformer": MESHES, "rnnsearch": ("8.1.1", "1.8.1", "2.2.2"), "seq2seq": ("8.1.1", "1.8.1", "2.2.2")}


def run(path: pathlib.Path, what: str, architecture: str, *ways: str) -> dict[str, dict[str, Any]]:
    flags = (
        f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"  # the last one counts
        # On a busy machine a device waits longer than 40 s for the others, after which XLA aborts.
        " --xla_cpu_collective_call_warn_stuck_timeout_seconds=60"
        " --xla_cpu_collective_call_terminate_timeout_seconds=600"
    )
    threads = {"PJRT_NPROC": str(8 * THREADS_PER_DEVICE)}
    subprocess.run(
        [sys.executable, "-m", "tests.training.eight", str(path / "found"), what, architecture, "one", *ways],
        env=os.environ | threads | {"XLA_FLAGS": flags},
        cwd=ROOT,
        check=True,
    )
    return pickle.loads((path / "found").read_bytes())


def assert_same(single: dict[str, Any], sharded: dict[str, Any]) -> None:
    assert np.isfinite(single["losses"]).all()
    np.testing.assert_allclose(sharded["losses"], single["losses"], rtol=1e-5)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(single["first"]))
    for part in ("first", "params"):
        assert jax.tree.structure(sharded[part]) == jax.tree.structure(single[part])
        for actual, expected in zip(jax.tree.leaves(sharded[part]), jax.tree.leaves(single[part]), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * largest)


@pytest.mark.slow
def test_a_mesh_of_three_axes_equals_one_device(tmp_path: pathlib.Path) -> None:
    results = run(tmp_path, "train", "transformer", "2.2.2")
    assert_same(results["one"], results["2.2.2"])
    # Vectors along the model's width are replicated, all other parameters are sharded over four devices.
    assert results["2.2.2"]["held"] < 0.4 * results["one"]["held"]


@pytest.mark.slow
def test_stacked_layers_on_a_mesh_equal_single_layers_on_one_device(tmp_path: pathlib.Path) -> None:
    single = run(tmp_path, "train", "transformer:float32:list")["one"]
    results = run(tmp_path, "train", "transformer:float32:scan", "1.8.1", "2.2.2")
    assert_same(single, results["one"])
    for way in ("1.8.1", "2.2.2"):
        assert_same(single, results[way])
        assert results[way]["held"] < 0.4 * single["held"]


@pytest.mark.slow
def test_lora_on_a_mesh_equals_one_device(tmp_path: pathlib.Path) -> None:
    results = run(tmp_path, "train", "transformer:float32:lora", "2.2.2", "1.1.8", "pmap")
    for way in ("2.2.2", "1.1.8", "pmap"):
        assert_same(results["one"], results[way])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WAYS)
def test_every_mesh_equals_one_device(architecture: str, tmp_path: pathlib.Path) -> None:
    results = run(tmp_path, "train", architecture, *WAYS[architecture])
    for way in WAYS[architecture]:
        assert_same(results["one"], results[way])
    assert results["8.1.1"]["held"] == results["one"]["held"]
    assert results["1.8.1"]["held"] < 0.3 * results["one"]["held"]


@pytest.mark.slow
def test_every_mesh_equals_one_device_in_bfloat16(tmp_path: pathlib.Path) -> None:
    """Up to rounding: closer to one device in bfloat16 than that is to one device in float32."""
    results = run(tmp_path, "train", "transformer:bfloat16", "8.1.1", "1.8.1", "2.2.2", "pmap")
    exact = run(tmp_path, "train", "transformer")["one"]
    single = results.pop("one")
    rounding = np.abs(single["losses"] / exact["losses"] - 1).max()
    assert 1e-5 < rounding < 0.02
    for result in results.values():
        assert np.abs(result["losses"] / single["losses"] - 1).max() < rounding


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WAYS)
def test_search_on_every_mesh_equals_one_device(architecture: str, tmp_path: pathlib.Path) -> None:
    results = run(tmp_path, "find", architecture, "8.1.1", "1.8.1", "2.2.2")
    for way in ("8.1.1", "1.8.1", "2.2.2"):
        np.testing.assert_array_equal(results[way]["tokens"], results["one"]["tokens"])
        np.testing.assert_allclose(results[way]["scores"], results["one"]["scores"], rtol=1e-4)


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
        ("optimizer.0.v_row.decoder.0.feed_forward.inner.kernel", (4,), ()),  # rank differs from the parameter
        ("params.encoder.0.cell.recurrent_RG", (4, 12), ("fsdp", None)),
        ("params.encoder.0.self_attention.to_key.base_module.kernel", (4, 6), ("fsdp", "tensor")),
        ("optimizer.0.mu.encoder.0.self_attention.to_key.lora_b", (2, 6), (None, "tensor")),
        ("params.decoder.0.feed_forward.outer.lora_a", (6, 2), ("tensor", None)),
        ("params.decoder.0.feed_forward.outer.lora_b", (2, 4), ()),  # the model's width: small, and replicated
        ("params.decoder.stacked.feed_forward.inner.kernel", (6, 4, 6), (None, "fsdp", "tensor")),
        ("params.decoder.stacked.self_attention.to_key.bias", (6, 6), (None, "tensor")),
        ("params.decoder.stacked.feed_forward_sublayer.norm.scale_D", (6, 4), ()),
    ],
)
def test_partition_spec(name: str, shape: tuple[int, ...], expected: tuple[str | None, ...]) -> None:
    assert partition_spec(name, shape, SIZES) == PartitionSpec(*expected)


def test_partition_specs_without_sharding_are_empty() -> None:
    shapes = {"inner": {"kernel": jax.ShapeDtypeStruct((4, 6), np.float32)}}
    assert partition_specs(shapes, dict.fromkeys(SIZES, 1)) == {"inner": {"kernel": PartitionSpec()}}


def test_gathered_parameters_are_not_sharded_over_fsdp_unless_they_are_stacked() -> None:
    shapes = {"inner": {"kernel": jax.ShapeDtypeStruct((4, 6), np.float32)}}
    stacked = {"stacked": {"inner": {"kernel": jax.ShapeDtypeStruct((2, 4, 6), np.float32)}}}
    assert partition_specs(shapes | stacked, SIZES, gathered=True) == {
        "inner": {"kernel": PartitionSpec(None, "tensor")},
        "stacked": {"inner": {"kernel": PartitionSpec(None, "fsdp", "tensor")}},
    }


def test_indivisible_devices_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"parallel.fsdp=3 × parallel.tensor=5 do not divide 2 devices"):
        MeshPartitioner(jax.devices()[:2], fsdp=3, tensor=5)


def test_pmap_shards_only_data() -> None:
    with pytest.raises(ValueError, match=r"parallel.mode=pmap .*: parallel.fsdp=2"):
        ParallelSpec(mode="pmap", fsdp=2, tensor=1, distributed="auto", cpu_devices=2)
