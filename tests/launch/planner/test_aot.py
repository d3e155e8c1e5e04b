"""Compiled programs: their cost agrees with arithmetic."""

import re
from typing import Any

import pytest

from configs import wmt14_en_fr
from launch.plan import plan
from launch.planner.hlo import HloProgram
from launch.planner.topology import Topology
from tests.launch.conftest import compiles, tiny_spec
from transformer.spec import Spec

pytestmark = pytest.mark.slow


@compiles
@pytest.mark.parametrize("packed", [None, 256])
def test_the_splash_kernel_is_in_the_program(monkeypatch: pytest.MonkeyPatch, packed: int | None) -> None:
    """The program contains the kernel, and no [256, 256] scores or masks."""
    from launch.planner import aot

    sizes = {
        "data.max_length": 250, "data.width_multiple": 128, "data.tokens_per_batch": 2048, "model.d_model": 64,
        "data.packed_width": packed, "train.accumulate": 1,
    }  # fmt: skip
    texts: list[str] = []

    def record(text: str, *args: Any) -> HloProgram:
        texts.append(text)
        return HloProgram(text, *args)

    monkeypatch.setattr(aot, "HloProgram", record)
    steps = []
    for kernel in ("xla", "splash"):
        spec = tiny_spec(**sizes, model__attention_kernel=kernel)
        steps.append(plan(spec, Topology.parse("v5e:2x2"), 250, decode=False)["training"])
    # Three attentions, with one kernel for the forward pass, one for the gradient of the queries and one for the
    # gradients of keys and values. A newer compiler has its own kernel for softmax and values, which reads scores.
    kernels = [
        [line for line in text.splitlines() if "tpu_custom_call" in line and "online-softmax" not in line]
        for text in texts
    ]
    assert [len(calls) for calls in kernels] == [0, 3 * 3]
    assert [bool(re.search(r"\[(\d+,)*256,256\]", text)) for text in texts] == [True, False]
    assert steps[0]["flops"] == steps[1]["flops"]


@compiles
def test_fsdp_reduces_the_memory_of_each_chip() -> None:
    sizes = {"model.d_model": 64, "model.d_ff": 128, "data.vocab_size": 256, "train.accumulate": 1}
    replicated, sharded = (
        plan(tiny_spec(**sizes, parallel__fsdp=fsdp), Topology.parse("v5e:2x2"), 7, decode=False) for fsdp in (1, 4)
    )
    arguments = [result["training"]["memory_bytes"]["arguments"] for result in (replicated, sharded)]
    assert arguments[1] < 0.3 * arguments[0]  # a quarter, and small arrays
    assert "all-gather" in sharded["training"]["collectives"]
    assert "scaling" not in sharded


@compiles
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5e:4x4"])
@pytest.mark.parametrize("size", wmt14_en_fr.ARGUMENTS)
def test_the_published_models_fit(size: str, topology: str) -> None:
    spec, parsed = Spec.from_config(wmt14_en_fr.get_config(size).to_dict()), Topology.parse(topology)
    result = plan(spec, parsed, spec.data.max_length)
    assert result["fits"]
    step = result["training"]
    state = 12 * result["parameters"]
    assert state <= step["memory_bytes"]["arguments"] < 1.05 * state
    assert step["memory_bytes"]["total"] < parsed.generation.memory
    assert step["collectives"]["all-reduce"]["bytes"] == pytest.approx(4 * result["parameters"], rel=1e-3)
    # Forward, two FLOPs per parameter and token, except for embedding look-ups; backward, twice as many.
    tokens = sum(result["batch"]["rows"] * result["batch"][side] for side in ("source", "target"))
    assert 0.4 < step["flops"] / (6 * result["parameters"] * tokens) < 1.2


@compiles
def test_a_program_that_does_not_fit_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    config = wmt14_en_fr.get_config("big").to_dict()
    config["data"]["tokens_per_batch"] = 400_000
    config["model"] |= {"encoder_layers": 1, "decoder_layers": 1}
    result = plan(Spec.from_config(config), Topology.parse("v5e:1x2"), 100, decode=False)
    assert not result["fits"]
    assert "HBM" in result["why"]
    assert "does not fit" in capsys.readouterr().out
