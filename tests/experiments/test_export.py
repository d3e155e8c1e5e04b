"""Exported models translate equally in other libraries, and runs start from Marian models."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.evaluate import evaluate
from experiments.runs.execute import train_and_test
from experiments.runs.exporting import export
from experiments.runs.workdir import Workdir
from tests import hub_server
from transformer.spec import Spec

Small = Callable[..., dict[str, Any]]
WHOLE = {"data__max_length": 60}  # no line is divided: other libraries read lines whole


@pytest.fixture(scope="module")
def talker(small: Small, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run that has learned enough to translate each sentence differently."""
    changes = {
        "steps": 250,
        "warmup_steps": 40,
        "learning_rate": 0.01,
        "average_checkpoints": 1,
        "log_every": 250,
    }
    rates = {"train__label_smoothing": 0.0, "model__dropout_embedding": 0.0, "model__dropout_sublayer": 0.0}
    cadence = {"evaluate__every": 250, "evaluate__sentences": 0, "checkpoint__every": 250}
    search = {"decode__length_penalty": 0.0, "decode__beam_size": 3, "decode__max_extra_length": 30}
    folder = tmp_path_factory.mktemp("runs") / "talker"
    settings = {f"train__{key}": value for key, value in changes.items()}
    config = small(**settings, **cadence, **rates, **search, **WHOLE)
    train_and_test(Spec.from_config(config), str(folder))
    return folder


@pytest.fixture(scope="module")
def expected_translations(
    talker: pathlib.Path, corpus: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Each French sentence of the training split, with its translation by the run."""
    out = tmp_path_factory.mktemp("out") / "out.txt"
    evaluate([str(talker)], "train", None, None, str(out))
    french = pathlib.Path(str(corpus).format(split="train", language="fr")).read_text(encoding="utf-8").splitlines()
    translations = dict(zip(french, out.read_text().splitlines(), strict=True))
    assert len(set(translations.values())) > 20
    return translations


def command(module: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *flags],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def marian(talker: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    pytest.importorskip("safetensors", reason="needs the extra `interop`")
    folder = tmp_path_factory.mktemp("exported") / "marian"
    completed = command("experiments.export", f"--workdir={talker}", f"--output={folder}", "--format=marian")
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == f"{folder}: marian format, from checkpoint 250 of {talker}\n"
    return folder


@pytest.mark.slow
def test_transformers_translates_equally(marian: pathlib.Path, expected_translations: dict[str, str]) -> None:
    transformers: Any = pytest.importorskip("transformers", reason="needs the extra `interop`")
    pytest.importorskip("torch", reason="needs the extra `parity`")
    model = transformers.MarianMTModel.from_pretrained(marian)
    tokenizer = transformers.MarianTokenizer.from_pretrained(marian)
    batch = tokenizer(list(expected_translations), return_tensors="pt", padding=True)
    assert tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True) == list(
        expected_translations.values()
    )


@pytest.mark.slow
def test_ctranslate2_translates_equally(
    talker: pathlib.Path, expected_translations: dict[str, str], tmp_path: pathlib.Path
) -> None:
    ctranslate2: Any = pytest.importorskip("ctranslate2", reason="needs the extra `ctranslate2`")
    sentencepiece: Any = pytest.importorskip("sentencepiece")
    assert export(str(talker), "ctranslate2", str(tmp_path / "new")) == [250]
    source, target = (
        sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "new" / f"{side}.spm"))
        for side in ("source", "target")
    )
    translator = ctranslate2.Translator(str(tmp_path / "new"), compute_type="float32", intra_threads=1)
    found = translator.translate_batch(
        source.encode(list(expected_translations), out_type=str), beam_size=3, length_penalty=0
    )
    assert [target.decode(result.hypotheses[0]) for result in found] == list(expected_translations.values())


def test_safetensors_has_every_parameter_by_name(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    safetensors: Any = pytest.importorskip("safetensors.numpy", reason="needs the extra `interop`")
    export(str(trained), "safetensors", str(tmp_path))
    parameters = safetensors.load_file(tmp_path / "model.safetensors")
    assert parameters["embed_source.table_VD"].shape == (43, 12)
    assert parameters["decoder.0.cross_attention.to_query.kernel"].shape == (12, 12)
    config = json.loads((tmp_path / "config.json").read_text())
    assert Spec.from_config(config) == Workdir(trained).spec()
    assert (tmp_path / "tokenizer.model").read_bytes() == (trained / "tokenizer.model").read_bytes()


def test_an_impossible_export_is_an_error_and_writes_nothing(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    config = json.loads((trained / "config.json").read_text())
    config["model"] |= {"score_scale": "none", "positions": "rotary"}
    (other / "config.json").write_text(json.dumps(config))
    completed = command("experiments.export", f"--workdir={other}", f"--output={out}", "--format=marian")
    assert completed.returncode == 2
    assert completed.stderr.count("\n") == 1
    with pytest.raises(ValueError, match="model") as caught:
        export(str(other), "ctranslate2", str(out))
    for message in (completed.stderr, str(caught.value)):
        assert "model.positions='rotary'" in message
        assert "model.score_scale='none'" in message
    assert not out.exists()
    with pytest.raises(ValueError, match=re.escape(f"--output={trained}: exists and is not an empty folder")):
        export(str(trained), "safetensors", str(trained))
    with pytest.raises(FileNotFoundError, match="no run found"):
        export(str(tmp_path), "marian", str(out))


@pytest.mark.slow
def test_a_published_model_is_used_by_others_and_starts_a_run(
    talker: pathlib.Path, expected_translations: dict[str, str], corpus: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Through a stand-in for the hub: the programs of the model card translate as the run does, and so does a run."""
    for package in ("huggingface_hub", "transformers", "torch", "ctranslate2"):
        pytest.importorskip(package)
    with hub_server.running() as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        push = ["experiments.export", f"--workdir={talker}", "--push=me/talker"]
        refused = command(*push, HF_TOKEN=hub_server.TOKEN, **variables)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "--push needs --license" in refused.stderr
        pushed = command(*push, "--license=mit", HF_TOKEN=hub_server.TOKEN, **variables)
        assert pushed.returncode == 0, pushed.stderr
        model = hub.models["me/talker"]
        assert pushed.stdout == f"{hub.url}/me/talker/tree/{model.commit}\n"
        french, english = next((source, text) for source, text in expected_translations.items() if len(text) > 9)
        for program in re.findall("```python\n(.*?)```", model.files["README.md"].decode(), re.S):
            done = subprocess.run(
                [sys.executable, "-c", program.replace("...", french)],
                capture_output=True,
                check=True,
                text=True,
                env=os.environ | variables,
            )
            assert english in done.stdout
        flags = ["--config=configs/quickstart.py", "--init_from=hf:me/talker", f"--workdir={tmp_path / 'run'}"]
        sizes = {"d_model": 12, "d_ff": 17, "heads": 3, "encoder_layers": 1, "decoder_layers": 1}
        data = {"source": "files", "path": corpus, "tokens_per_batch": 97}
        changes = {f"model.{key}": value for key, value in sizes.items()} | {f"data.{key}": data[key] for key in data}
        overrides = [f"--config.{key}={value}" for key, value in changes.items()]
        trained = command("experiments.train", *flags, *overrides, "--config.train.steps=0", **variables)
        assert trained.returncode == 0, trained.stderr
        versions = json.loads((tmp_path / "run" / "versions.json").read_text())
        assert versions["pretrained"] == {"hf:me/talker": model.commit}


def begin(small: Small, marian: pathlib.Path, **changes: Any) -> Spec:
    search = {"decode__length_penalty": 0.0, "decode__beam_size": 3, "decode__max_extra_length": 30}
    return Spec.from_config(
        small(train__init_from=str(marian), train__average_checkpoints=1, **search, **WHOLE, **changes)
    )


@pytest.mark.slow
def test_a_run_starts_from_a_marian_model(
    small: Small, marian: pathlib.Path, expected_translations: dict[str, str], tmp_path: pathlib.Path
) -> None:
    """Without an update it translates like the model."""
    still, out = tmp_path / "still", tmp_path / "out.txt"
    train_and_test(begin(small, marian, train__steps=0), str(still))
    evaluate([str(still)], "train", None, None, str(out))
    assert out.read_text().splitlines() == list(expected_translations.values())
    assert json.loads((still / "config.json").read_text())["train"]["init_from"] == str(marian)


@pytest.mark.slow
def test_a_run_from_a_marian_model_continues(small: Small, marian: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """An interrupted run continues without the Marian folder, and equals an uninterrupted one."""
    interrupted, uninterrupted = tmp_path / "cut", tmp_path / "whole"
    marian_copy = shutil.copytree(marian, tmp_path / "gone")
    every = {"checkpoint__every": 3, "evaluate__every": 6, "train__learning_rate": 1e-3}
    train_and_test(begin(small, marian_copy, train__steps=6, **every), str(uninterrupted))
    losses = {event["split"]: event["loss"] for event in events(uninterrupted) if "loss" in event}
    assert losses["validation"] < 3.0  # random parameters: about ln 43 = 3.8
    shutil.copytree(uninterrupted, interrupted)
    shutil.rmtree(interrupted / "checkpoints" / "6")
    (interrupted / "result.json").unlink(missing_ok=True)
    shutil.rmtree(marian_copy)
    train_and_test(begin(small, marian_copy, train__steps=6, **every), str(interrupted))
    runs = (interrupted, uninterrupted)
    first, second = (export(str(path), "safetensors", str(tmp_path / path.name / "out")) for path in runs)
    assert first == second == [6]
    files = [(path / "out" / "model.safetensors").read_bytes() for path in runs]
    assert files[0] == files[1]


def events(workdir: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_other_settings_than_the_marian_model_s_are_an_error(
    small: Small, marian: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    message = r"model\.score_scale is 'sqrt_d_k' in.*, 'none' in.*; model\.heads is 3 in the folder, 2 in the config$"
    with pytest.raises(ValueError, match=message):
        train_and_test(begin(small, marian, model__heads=2, model__score_scale="none"), str(workdir))
    assert not workdir.exists()
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        train_and_test(begin(small, tmp_path / "nowhere"), str(workdir))
    with pytest.raises(ValueError, match="parameters differ from the config's model"):
        train_and_test(begin(small, marian, model__d_ff=19), str(tmp_path / "wide"), ["model"])


@pytest.mark.slow
def test_a_run_with_lora_starts_from_the_model_and_is_exported_without(
    small: Small, marian: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Only A and B are trained, the run translates as its merged model does, and a wrong pattern leaves no folder."""
    numpy: Any = pytest.importorskip("safetensors.numpy")
    changes = {"model__lora_rank": 2, "model__lora_targets": "*to_query,*outer", "train__learning_rate": 0.03}
    with pytest.raises(ValueError, match=r"train\.freeze: 'encodr\.\*' matches none"):
        train_and_test(begin(small, marian, train__freeze="encodr.*", **changes), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    train_and_test(begin(small, marian, checkpoint__every=6, **changes), str(tmp_path / "run"))
    unmerged = (tmp_path / "run" / "translations" / "test.6.txt").read_text()
    evaluate([str(tmp_path / "run")], "test", None, None, str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == unmerged
    export(str(tmp_path / "run"), "marian", str(tmp_path / "merged"))
    before, after = (numpy.load_file(path / "model.safetensors") for path in (marian, tmp_path / "merged"))
    changed = {name for name, array in before.items() if np.any(array != after[name])}
    assert changed == {name for name in before if name.endswith(("q_proj.weight", "fc2.weight"))}


@pytest.mark.slow
def test_an_allowed_setting_removes_a_part(small: Small, marian: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ablated = begin(small, marian, model__score_scale="none", train__steps=0)
    train_and_test(ablated, str(tmp_path / "run"), ["model.score_scale"])
    assert np.isfinite(evaluate([str(tmp_path / "run")], "test", None, None, str(tmp_path / "out.txt"))["bleu"])
