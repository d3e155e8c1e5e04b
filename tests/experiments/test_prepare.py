import dataclasses
import gzip
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow_datasets as tfds

from configs import quickstart
from experiments import prepare
from experiments.runs.training_data import TrainingData
from experiments.runs.workdir import Workdir
from experiments.runtime import leases
from transformer.data.batches.plan import BatchPlan
from transformer.data.corpus import open_corpus
from transformer.data.prepared import PreparedFolder
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec, Spec


class CountedTranslation(tfds.core.GeneratorBasedBuilder):
    """A dataset that TFDS builds and shuffles."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None

    def _info(self):
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"fr": text, "en": text}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 83), "validation": self._generate_examples(83, 7)}

    def _generate_examples(self, start, size):
        for number in range(start, start + size):
            yield number, {"fr": f"le numéro {number}" + " oui" * (number % 11), "en": f"the number {number}"}


@pytest.fixture(params=["files", pytest.param("gzip", marks=pytest.mark.slow), "grammar", "tfds"])
def data(request: pytest.FixtureRequest, small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path) -> DataSpec:
    """Settings of a corpus of each kind, with a folder to prepare it in."""
    spec = Spec.from_config(small()).data
    changes: dict[str, Any] = {"prepared": f"{tmp_path}/prepared"}
    if request.param == "gzip":
        for split in ("train", "validation"):
            for language in ("fr", "en"):
                text = spec.path.replace("{split}", split).replace("{language}", language)
                (tmp_path / f"{split}.{language}.gz").write_bytes(gzip.compress(pathlib.Path(text).read_bytes()))
        changes["path"] = f"{tmp_path}/{{split}}.{{language}}"
    elif request.param == "grammar":
        changes |= {"source": "grammar", "train_pairs": 101, "vocab_size": 97}
    elif request.param == "tfds":
        changes |= {"source": "tfds", "name": "counted_translation", "directory": f"{tmp_path}/tfds"}
        changes["examine"] = "off"
    return dataclasses.replace(spec, **changes)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(prepare, "_SHARD", 37)


def learnt_from(data: DataSpec, workdir: pathlib.Path) -> tuple[Tokenizer, BatchPlan]:
    """Returns the tokenizer and the batch plan of a run with `data`."""
    workdir.mkdir(exist_ok=True)
    split = TrainingData.open(data, open_corpus(data))
    tokenizer = split.tokenizer(Workdir(workdir))
    plan = BatchPlan(split.tokenize(tokenizer), tokens_per_batch=211, buckets=3, seed=1, row_multiple=2)
    return tokenizer, plan


def check(data: DataSpec, folder: pathlib.Path) -> None:
    """Checks that a prepared corpus gives the same batches as one in memory."""
    for direction in ("fr-en", "en-fr"):
        prepared = dataclasses.replace(data, direction=direction)
        in_memory = dataclasses.replace(prepared, prepared="")
        tokenizer, plan = learnt_from(prepared, folder / direction)
        expected_tokenizer, expected = learnt_from(in_memory, folder / f"{direction} in memory")
        assert tokenizer.fingerprint == expected_tokenizer.fingerprint
        assert plan.fingerprint == expected.fingerprint
        assert plan.report() == expected.report()
        for k in (0, 1, plan.batches_per_epoch() + 1, 10**6):
            for one, other in zip(plan.batch(k), expected.batch(k), strict=True):
                assert (one == other).all()


def test_prepared_batches_equal_those_in_memory(data, tmp_path, capfd):
    prepare.prepare(data, workers=2)
    output = capfd.readouterr().out
    pairs = len(open_corpus(data).split("train"))
    assert f"tokenising: {pairs} of {pairs} pairs" in output
    assert output.splitlines()[-1].startswith(f"{tmp_path}/prepared: ")
    check(data, tmp_path)
    names = sorted(path.name for path in pathlib.Path(data.prepared).iterdir())
    assert [name for name in names if not name.startswith("lines.")] == [
        "en.offsets.npy", "en.tokens.npy", "fr.offsets.npy", "fr.tokens.npy", "positions.npy", "prepared.json",
        "tokenizer.model",
    ]  # fmt: skip


def grammar(folder: pathlib.Path, **changes: Any) -> DataSpec:
    sizes = {"train_pairs": 2003, "vocab_size": 300, "prepared": str(folder)}
    return dataclasses.replace(Spec.from_config(quickstart.get_config().to_dict()).data, **sizes | changes)


def test_a_complete_folder_is_not_prepared_again(tmp_path, capsys, monkeypatch):
    data = grammar(tmp_path / "prepared", train_pairs=37)
    prepare.prepare(data, workers=1)
    expected = capsys.readouterr().out.splitlines()[-1]
    monkeypatch.setattr(prepare, "_make", None)
    prepare.prepare(dataclasses.replace(data, direction="en-fr"), workers=1, verify=True)
    assert capsys.readouterr().out == f"{expected}\n"
    path = tmp_path / "prepared" / "fr.tokens.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"fr.tokens.npy has changed since it was written"):
        prepare.prepare(data, workers=1, verify=True)


@pytest.mark.slow
def test_a_killed_preparation_continues(tmp_path, capfd):
    data = grammar(tmp_path / "prepared")
    program = (
        "from experiments import prepare\nfrom tests_data import data\nprepare._SHARD = 37\nprepare.prepare(data, 2)"
    )
    (tmp_path / "tests_data.py").write_text(f"from transformer.spec import DataSpec\ndata = {data!r}\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path})
    folder = tmp_path / "prepared" / "shards"

    def made() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}

    try:
        until = time.monotonic() + 60
        while len(made()) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(ValueError, match=rf"is being prepared by .*process {process.pid}"):
            prepare.prepare(data, workers=1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(1)  # until the processes that tokenise have ended, too
    there = made()
    time.sleep(0.3)
    assert 5 <= len(there) < 55
    assert made() == there
    with pytest.raises(ValueError, match="preparation was interrupted"):
        PreparedFolder.from_spec(data, open_corpus(data))
    prepare.prepare(data, workers=2)
    assert f"\n{37 * len(there):,} of 2,003 pairs were tokenised before" in capfd.readouterr().out
    check(data, tmp_path)


def test_the_death_of_a_process_is_reported(tmp_path, monkeypatch):
    data = grammar(tmp_path / "prepared", train_pairs=40)
    monkeypatch.setattr(prepare, "_init_worker", _end)
    with pytest.raises(ChildProcessError, match="a process that tokenises has died"):
        prepare.prepare(data, workers=1)


def _end(*_: object) -> None:
    os._exit(1)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.prepare", *arguments], capture_output=True, text=True, check=False
    )


def test_user_errors_are_one_line(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    here = "--config=configs/quickstart.py"
    for arguments, message in (
        ([], "--config is needed"),
        ([here], "data.prepared is empty: name a folder"),
        ([here, f"--config.data.prepared={tmp_path}/used"], "holds other files"),
    ):
        completed = command(*arguments)
        assert (completed.returncode, completed.stdout) == (2, "")
        assert completed.stderr.startswith("error: ")
        assert message in completed.stderr
        assert completed.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["notes.txt"]


def test_two_processes_cannot_prepare_one_folder(tmp_path):
    data = grammar(tmp_path / "prepared")
    lock = leases.acquire(tmp_path / "prepared", "lock", 60)
    assert lock is not None
    with lock, pytest.raises(ValueError, match=rf"data.prepared: .* is being prepared by .*process {os.getpid()}"):
        prepare.prepare(data, workers=1)


def test_another_vocabulary_than_the_run_s_is_an_error(tmp_path):
    data = grammar(tmp_path / "prepared", train_pairs=37)
    prepare.prepare(data, workers=1)
    Tokenizer.train_from_texts(["un deux trois"], 17, "bpe").save(tmp_path / "tokenizer.model")
    with pytest.raises(ValueError, match=r"has tokens of another vocabulary than .*tokenizer.model"):
        TrainingData.open(data, open_corpus(data)).tokenizer(Workdir(tmp_path))


@pytest.mark.slow
def test_a_run_continues_with_a_prepared_corpus(small, tmp_path):
    from experiments.runs.execute import train_and_test
    from transformer.training import metrics

    uninterrupted = train_and_test(Spec.from_config(small()), str(tmp_path / "whole"))
    train_and_test(Spec.from_config(small(train__steps=3)), str(tmp_path / "parts"))
    changes = {"data__prepared": str(tmp_path / "prepared"), "data__workers": 0}
    prepare.prepare(Spec.from_config(small(**changes)).data, workers=1)
    scores = train_and_test(Spec.from_config(small(**changes)), str(tmp_path / "parts"), ["train.steps"])
    assert scores == uninterrupted
    first, second = (
        [event["loss"] for event in metrics.read(tmp_path / name) if event["split"] == "validation"]
        for name in ("whole", "parts")
    )
    assert first == second
