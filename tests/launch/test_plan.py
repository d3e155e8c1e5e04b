"""Plans: a mistake is one line, and a program that is compiled for chips needs what arithmetic says it must."""

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest

from configs import base, wmt14_en_fr
from launch.plan import plan
from launch.planner import libtpu
from launch.planner.hlo import Program
from launch.planner.topology import Slice
from transformer.spec import Spec

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART = "--config=configs/quickstart.py"
compiles = pytest.mark.skipif(
    not libtpu.installed(), reason="libtpu is not installed: pip install -e '.[tpu]' compiles for TPUs"
)


def command(*flags: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "launch.plan", *flags]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--config and --topology are needed"),
        ([QUICKSTART, "--topology=v5e:3x3"], "there is no slice v5e:3x3"),
        ([QUICKSTART, "--topology=v5e:2x2", "--width=61"], "--width: 61 is more than data.max_length=60"),
    ],
)
def test_mistakes_are_one_line_and_status_2(flags: list[str], message: str) -> None:
    done = command(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_flags_are_read_before_jax_is() -> None:
    code = "import sys, launch.plan; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_without_libtpu_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libtpu, "installed", lambda: False)
    with pytest.raises(ValueError, match=r"libtpu, .* is not installed: pip install -e '\.\[tpu\]'"):
        plan(tiny(), Slice.named("v5e:2x2"), 7)


def tiny(**changes: Any) -> Spec:
    config = base.get_config()
    sizes = {
        "model.d_model": 8, "model.d_ff": 16, "model.heads": 2, "model.encoder_layers": 1, "model.decoder_layers": 1,
        "data.vocab_size": 32, "data.max_length": 7, "data.tokens_per_batch": 45, "decode.max_extra_length": 3,
        "decode.batch_size": 4, "decode.beam_size": 2, "train.steps": 1000, "train.accumulate": 2,
    }  # fmt: skip
    config.update_from_flattened_dict(sizes | {key.replace("__", "."): value for key, value in changes.items()})
    return Spec.from_config(config.to_dict())


@compiles
def test_a_step_for_four_chips(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(tiny(train__loss_chunk=24), Slice.named("v5e:2x2"), 7)
    assert found["fits"]
    assert found["batch"] == {"rows": 8, "source": 7, "target": 7}  # 45 // 7 = 6, which four chips cannot share
    step = found["training"]
    # Every chip has all parameters, Adam's two moments and the sum of gradients that accumulates, each of them once.
    assert 16 * found["parameters"] <= step["memory_bytes"]["arguments"] < step["memory_bytes"]["total"]
    # Gradients are added up once, and with them the three sums of the loss.
    assert set(step["collectives"]) == {"all-reduce"}
    assert step["collectives"]["all-reduce"]["bytes"] == 4 * found["parameters"] + 3 * 4
    assert step["batches"] == 2000
    assert step["hours"] == pytest.approx(2000 * step["seconds"]["total"] / 3600)
    assert step["chip_hours"] == 4 * step["hours"]
    # The loop over parts of the loss says how often it runs; that over tokens ends when all sentences have ended.
    assert (step["open_loops"], found["decoding"]["open_loops"]) == (0, 1)
    assert found["decoding"]["steps"] == 10
    assert found["decoding"]["collectives"] == {}  # no search waits for another chip's
    text = capsys.readouterr().out
    assert "6 × 7 source and 7 target tokens, filled up to 8; the widest batch" in text
    assert "training step, compiled in" in text


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("packed", [None, 256])
def test_attention_may_be_a_kernel(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, packed: int | None
) -> None:
    """It is in the program, and no scores or masks are: squares of 256 × 256."""
    from launch.planner import aot

    sizes = {
        "data.max_length": 250, "data.width_multiple": 128, "data.tokens_per_batch": 2048, "model.d_model": 64,
        "data.packed_width": packed, "train.accumulate": 1,
    }  # fmt: skip
    texts: list[str] = []

    def keep(text: str, *given: Any) -> Program:
        texts.append(text)
        return Program(text, *given)

    monkeypatch.setattr(aot, "Program", keep)
    found = [
        plan(tiny(**sizes, model__attention_kernel=kernel), Slice.named("v5e:2x2"), 250, decode=False)["training"]
        for kernel in ("xla", "splash")
    ]
    # Three attentions; forwards, and the gradients of queries, and of keys and values. A newer compiler has a kernel of
    # its own for softmax and values, which reads scores.
    kernels = [
        [line for line in text.splitlines() if "tpu_custom_call" in line and "online-softmax" not in line]
        for text in texts
    ]
    assert [len(each) for each in kernels] == [0, 3 * 3]
    assert [bool(re.search(r"\[(\d+,)*256,256\]", text)) for text in texts] == [True, False]
    assert found[0]["flops"] == found[1]["flops"]
    capsys.readouterr()


@pytest.mark.slow
@compiles
def test_parameters_that_are_divided_take_less_of_each_chip(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"model.d_model": 64, "model.d_ff": 128, "data.vocab_size": 256, "train.accumulate": 1}
    whole, divided = (
        plan(tiny(**sizes, parallel__fsdp=fsdp), Slice.named("v5e:2x2"), 7, decode=False) for fsdp in (1, 4)
    )
    bytes_of = [each["training"]["memory_bytes"]["arguments"] for each in (whole, divided)]
    assert bytes_of[1] < 0.3 * bytes_of[0]  # a quarter, and what is small
    assert "all-gather" in divided["training"]["collectives"]
    assert "scaling" not in divided
    capsys.readouterr()


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5e:4x4"])
@pytest.mark.parametrize("size", wmt14_en_fr.ARGUMENTS)
def test_the_published_models_fit(size: str, topology: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec, where = Spec.from_config(wmt14_en_fr.get_config(size).to_dict()), Slice.named(topology)
    found = plan(spec, where, spec.data.max_length)
    assert found["fits"]
    step = found["training"]
    state = 12 * found["parameters"]
    assert state <= step["memory_bytes"]["arguments"] < 1.05 * state
    assert step["memory_bytes"]["total"] < where.generation.memory
    assert step["collectives"]["all-reduce"]["bytes"] == pytest.approx(4 * found["parameters"], rel=1e-3)
    # Two operations for each parameter but embeddings that are only looked up, forwards, and twice that backwards.
    tokens = sum(found["batch"]["rows"] * found["batch"][side] for side in ("source", "target"))
    assert 0.4 < step["flops"] / (6 * found["parameters"] * tokens) < 1.2
    capsys.readouterr()


@pytest.mark.slow
@compiles
def test_what_is_too_large_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    config = wmt14_en_fr.get_config("big").to_dict()
    config["data"]["tokens_per_batch"] = 400_000
    config["model"] |= {"encoder_layers": 1, "decoder_layers": 1}
    found = plan(Spec.from_config(config), Slice.named("v5e:1x2"), 100, decode=False)
    assert not found["fits"]
    assert "HBM" in found["why"]
    assert "does not fit" in capsys.readouterr().out


@pytest.mark.slow
@compiles
def test_the_command_ends_with_one_json_object() -> None:
    done = command(QUICKSTART, "--topology=v5e:2x2", "--nodecode")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["topology"] == "v5e:2x2"
