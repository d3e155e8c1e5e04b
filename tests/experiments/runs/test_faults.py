"""Injects faults into training, and checks that the result is the same as without them.

`python -m pytest -n 2 -m slow tests/experiments/runs/test_faults.py` prints a table of the faults tried and survived.
"""

import functools
import hashlib
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from experiments.runs import goodput
from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from tests.experiments.runs import faulty
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import Spec
from transformer.training import manifest, metrics
from transformer.training.checkpoint import Checkpoints

pytestmark = pytest.mark.slow

TIMES = ("seconds", "tokens_per_second", "model_flops_per_second")  # values of an event that differ between equal runs
STEPS = 2400
PATIENCE = 300.0  # seconds without progress until a process counts as stuck
Small = Callable[..., dict[str, Any]]
# Records an injected fault by name; returns a function that records its survival.
Fault = Callable[[str], Callable[[], None]]


def config_of(small: Small, **changes: Any) -> dict[str, Any]:
    """A config with fast updates and frequent checkpoints, and with every kind of array that a state can hold."""
    return small(
        **{
            "train__steps": STEPS, "train__ema_decay": 0.9, "train__log_every": 10, "train__schedule": "constant",
            "train__learning_rate": 1e-3, "evaluate__every": 100, "evaluate__sentences": 0, "checkpoint__every": 40,
            "checkpoint__keep": 3, "train__average_checkpoints": 3, "model__dropout_word": 0.1,
            "train__on_nonfinite": "rollback",
        } | changes
    )  # fmt: skip


class Training:
    """A training process and its folder."""

    # A server that has imported everything and computed nothing forks faster than Python starts.
    context = multiprocessing.get_context("forkserver")

    def __init__(
        self,
        config: dict[str, Any],
        path: pathlib.Path,
        target: Callable[..., None] = faulty.train,
        log: pathlib.Path | None = None,
    ) -> None:
        self.config, self.path, self.target = config, path, target
        self.log = log or path.with_suffix(".log")
        self.workdir = Workdir(path)

    def start(self, prepare: Callable[..., None] | None = None, *args: Any) -> Any:
        self.context.set_forkserver_preload(
            # transformer.buckets: without effect where the extra `gcs` is missing.
            ["experiments.runs.run", "experiments.runs.trainer", "transformer.buckets", "tests.experiments.runs.faulty"]
        )
        process = self.context.Process(
            target=self.target, args=(self.config, str(self.path), str(self.log), prepare, *args)
        )
        process.start()
        return process

    def join(self, process: Any) -> int:
        """Waits for the process; returns its exit status."""
        self._wait(process, lambda: process.exitcode is not None)
        return process.exitcode

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def steps(self) -> list[int]:
        folder = self.workdir.checkpoints
        return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())

    def valid_steps(self) -> list[int]:
        return [step for step in self.steps() if manifest.first_fault(self.workdir.checkpoints / str(step)) is None]

    def is_writing(self) -> bool:
        return any(any(path.rglob("*")) for path in self.workdir.checkpoints.glob("*.*tmp*"))

    def has_valid_step_after(self, step: int) -> bool:
        return max(self.valid_steps(), default=0) > step

    def wait_for(self, process: Any, condition: Callable[[], bool]) -> None:
        """Waits until the condition is true; fails if the process ends before."""
        reached = False

        def done() -> bool:
            nonlocal reached
            reached = condition()
            return reached or not process.is_alive()

        self._wait(process, done)
        if not reached:
            pytest.fail(f"ended with status {process.exitcode} before the condition:\n{self.log_text()[-2000:]}")

    def _wait(self, process: Any, done: Callable[[], bool]) -> None:
        """Waits as long as the process prints or writes something now and then, however slow the machine is."""
        progress, checked = self._progress(), time.monotonic()
        changed = checked
        while not done():
            time.sleep(0.005)
            if (now := time.monotonic()) < checked + 1:
                continue
            previous, progress, checked = progress, self._progress(), now
            changed = changed if progress == previous else now
            if now > changed + PATIENCE:
                process.kill()
                pytest.fail(f"no progress in {PATIENCE} seconds:\n{self.log_text()[-2000:]}")

    def _progress(self) -> Any:
        """Returns what changes while a process works: its log and the names of its files."""
        return self.log_text(), [(folder, *names) for folder, _, names in os.walk(self.workdir.path)]

    def second_member(self) -> "Training":
        """The second member of a population of two seeds."""
        return Training(self.config, self.path.with_name(f"{self.path.name}-other"))

    def digests(self) -> dict[str, str]:
        """Returns the SHA-256 of every leaf of the newest checkpoint and of the tested parameters and translations."""
        spec = Spec.from_config(self.config)
        system = System.make(spec, Tokenizer.load(self.workdir.tokenizer))
        checkpoints = Checkpoints(self.workdir.checkpoints)
        state = checkpoints.restore(checkpoints.valid_steps()[-1], system.state_shapes())
        checkpoints.close()
        params, steps = system.final_params(self.workdir)
        translations = {path.name: path.read_text() for path in self.path.glob("translations/test.*.txt")}
        return {f"tested {steps}": str(sorted(translations.items()))} | {
            jax.tree_util.keystr(path): hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest()
            for path, leaf in jax.tree.leaves_with_path({"state": state, "tested": params})
        }

    def events(self) -> list[dict[str, Any]]:
        """Returns the events of metrics.jsonl without times."""
        return [
            {name: value for name, value in event.items() if name not in TIMES}
            for event in metrics.read(self.path)
        ]  # fmt: skip


def check_account(training: Training, starts: int) -> None:
    """Checks that the goodput account counts the time that a run has lost in at most `starts` starts."""
    account = goodput.account(metrics.read_lines(training.workdir.goodput))
    assert 1 < account["starts"] <= starts
    assert sum(account[phase] for phase in (*goodput.PHASES, goodput.LOST)) == pytest.approx(1)
    assert 0 < account[goodput.LOST] < 1


@pytest.fixture(scope="module")
def undisturbed(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(config_of(small), tmp_path_factory.mktemp("undisturbed") / "run")
    assert training.join(training.start()) == 0, training.log_text()
    return training


POINTS = {"during the manifest": 4, "between write and commit": 4, "while an old step is deleted": 4}
MID_WRITE, ANY_INSTANT = 4, 12


@pytest.mark.parametrize("seed", [0, 1])
def test_kill_9_loses_only_the_updates_since_the_last_save(
    undisturbed: Training, tmp_path: pathlib.Path, fault: Fault, seed: int
) -> None:
    """A run that is killed dozens of times equals the undisturbed run, bit for bit."""
    chance = random.Random(seed)
    training = Training(undisturbed.config, tmp_path / "run")
    faults = [("kill -9 in the middle of a write", None)] * MID_WRITE
    faults += [("kill -9 at any instant", None)] * ANY_INSTANT
    faults += [(f"kill -9 {point}", point) for point, count in POINTS.items() for _ in range(count)]
    chance.shuffle(faults)
    newest = 0
    for name, point in faults:
        survived, log_start = fault(name), len(training.log_text())
        if point is not None:
            process = training.start(faulty.at_named_point, point, chance.randrange(2))
        else:
            process = training.start()
            if name.endswith("write"):
                training.wait_for(process, training.is_writing)
            else:
                if chance.random() < 0.7:  # else while it starts
                    training.wait_for(process, functools.partial(training.has_valid_step_after, newest))
                time.sleep(chance.uniform(0, 0.5))
            process.kill()
        assert training.join(process) == -signal.SIGKILL, training.log_text()[log_start:]
        valid = training.valid_steps()
        assert max(valid, default=0) >= newest, "a verified step was lost"
        if newest and "continuing" in training.log_text()[log_start:]:
            step = int(training.log_text()[log_start:].partition("continuing after step ")[2].split()[0])
            assert step >= newest
        newest = max(valid, default=0)
        assert newest < STEPS
        survived()
    assert training.join(training.start()) == 0, training.log_text()[-3000:]
    assert training.digests() == undisturbed.digests()
    assert training.events() == undisturbed.events()
    check_account(training, len(faults) + 1)


SYSTEMS: dict[str, dict[str, Any]] = {
    "transformer": {},
    "rnnsearch": {
        "model__architecture": "rnnsearch", "model__heads": 1, "model__cross_score": "additive", "model__cell": "gru",
        "model__dropout_attention": 0.0, "model__dropout_feed_forward": 0.0,
    },
    "seq2seq": {
        "model__architecture": "seq2seq", "model__heads": 1, "model__reverse_source": True,
        "model__dropout_attention": 0.0, "model__dropout_feed_forward": 0.0,
    },
}  # fmt: skip
EVERYTHING = {
    "train__steps": 60, "checkpoint__every": 15, "evaluate__every": 20, "data__buckets": 3, "train__accumulate": 2,
    "train__clip_norm": 1.0, "model__dropout_feed_forward": 0.1, "model__dropout_attention": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_interrupted_run_makes_the_same_steps(
    small: Small, tmp_path: pathlib.Path, fault: Fault, system: str
) -> None:
    """With dropout, several shapes, gradient accumulation and a moving average; interrupted within an epoch."""
    survived = fault(f"cut into two processes: {system}")
    config = config_of(small, **EVERYTHING | SYSTEMS[system])
    uninterrupted, interrupted = Training(config, tmp_path / "whole"), Training(config, tmp_path / "parts")
    assert uninterrupted.join(uninterrupted.start()) == 0, uninterrupted.log_text()
    assert interrupted.join(interrupted.start(faulty.at_named_point, "during the manifest", 2)) == -signal.SIGKILL
    assert interrupted.valid_steps() == [15, 30]
    assert interrupted.join(interrupted.start()) == 0, interrupted.log_text()
    assert "continuing after step 30\n" in interrupted.log_text()
    assert interrupted.digests() == uninterrupted.digests()
    assert interrupted.events() == uninterrupted.events()
    survived()


def test_an_interrupted_population_makes_the_same_steps(small: Small, tmp_path: pathlib.Path, fault: Fault) -> None:
    """A population of two seeds with separate checkpoints; killed while the second seed's checkpoint is written."""
    survived = fault("cut into two processes: two seeds in one program")
    config = config_of(small, **EVERYTHING | {"train__accumulate": 1})
    uninterrupted, interrupted = (Training(config, tmp_path / name, faulty.train_two) for name in ("whole", "parts"))
    assert uninterrupted.join(uninterrupted.start()) == 0, uninterrupted.log_text()
    # Each seed saves at updates 15 and 30: the fourth manifest is that of the second seed at update 30.
    assert interrupted.join(interrupted.start(faulty.at_named_point, "during the manifest", 3)) == -signal.SIGKILL
    assert (max(interrupted.valid_steps()), max(interrupted.second_member().valid_steps())) in ((30, 15), (15, 30))
    assert interrupted.join(interrupted.start()) == 0, interrupted.log_text()
    for first, second in ((uninterrupted, interrupted), (uninterrupted.second_member(), interrupted.second_member())):
        assert first.digests() == second.digests()
        assert first.events() == second.events()
    assert uninterrupted.digests() != uninterrupted.second_member().digests()
    survived()


def test_a_run_continues_on_other_devices(small: Small, tmp_path: pathlib.Path, fault: Fault) -> None:
    """The batches are equal, and so are the losses, except for the order of sums."""
    config = config_of(small, **EVERYTHING, data__tokens_per_batch=193)
    uninterrupted = Training(config, tmp_path / "whole")
    assert uninterrupted.join(uninterrupted.start(faulty.on_devices, 2)) == 0, uninterrupted.log_text()
    interrupted = Training(config, tmp_path / "begun")
    assert interrupted.join(interrupted.start(faulty.at_named_point, "during the manifest", 2)) == -signal.SIGKILL
    for count in (1, 4, 8):
        survived = fault("continued on another number of devices")
        other = Training(config, tmp_path / f"on{count}")
        shutil.copytree(interrupted.path, other.path)
        assert other.join(other.start(faulty.on_devices, count)) == 0, other.log_text()
        assert f"continuing after step 30 on {count} devices, before on 2" in other.log_text()
        pairs = zip(other.events(), uninterrupted.events(), strict=True)
        for actual, expected in pairs:
            assert (actual["step"], actual["split"]) == (expected["step"], expected["split"])
            assert actual.get("loss", 0.0) == pytest.approx(expected.get("loss", 0.0), rel=1e-5)  # the test has none
        survived()


def test_two_runs_of_one_command_are_equal_bit_for_bit(small: Small, tmp_path: pathlib.Path, fault: Fault) -> None:
    survived = fault("the same command twice")
    config = config_of(small, **EVERYTHING)
    runs = [Training(config, tmp_path / name) for name in ("first", "second")]
    for run in runs:
        assert run.join(run.start()) == 0, run.log_text()
    assert runs[0].digests() == runs[1].digests()
    assert runs[0].events() == runs[1].events()
    survived()


DAMAGE: dict[str, Callable[[pathlib.Path], Any]] = {
    "truncated file": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped bit": lambda path: path.write_bytes(
        bytes(byte ^ (4 if at == path.stat().st_size // 2 else 0) for at, byte in enumerate(path.read_bytes()))
    ),
    "missing file": lambda path: path.unlink(),
    "empty folder": lambda path: [shutil.rmtree(path.parents[1]), path.parents[1].mkdir(parents=True)],
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("count", [1, 2])
def test_a_damaged_checkpoint_is_skipped(
    small: Small, tmp_path: pathlib.Path, fault: Fault, undisturbed: Training, kind: str, count: int
) -> None:
    survived = fault(kind if count == 1 else f"{kind}, in the newest {count} checkpoints")
    training = Training(undisturbed.config, tmp_path / "run")
    shutil.copytree(undisturbed.path, training.path)
    steps = training.steps()
    for step in steps[-count:]:
        files = [path for path in (training.workdir.checkpoints / str(step) / "default").iterdir() if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        DAMAGE[kind](largest)
    assert training.join(training.start()) == 0, training.log_text()[-3000:]
    assert training.log_text().count("DAMAGED CHECKPOINT") == count
    assert f"continuing after step {steps[-count - 1]}" in training.log_text()
    assert training.digests() == undisturbed.digests()
    assert training.events() == undisturbed.events()
    survived()


def test_with_all_checkpoints_damaged_the_run_does_not_restart(
    tmp_path: pathlib.Path, fault: Fault, undisturbed: Training
) -> None:
    survived = fault("all checkpoints damaged: refused, left as they are")
    training = Training(undisturbed.config, tmp_path / "run")
    shutil.copytree(undisturbed.path, training.path)
    for step in training.steps():
        (training.workdir.checkpoints / str(step) / "default/_METADATA").unlink()
    assert training.join(training.start()) == 2
    assert "error: all checkpoints are damaged" in training.log_text()
    assert training.steps() == undisturbed.steps()
    survived()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("point", ["compile", "step", "evaluation", "save", "decoding"])
def test_a_signal_saves_the_state(
    small: Small, tmp_path: pathlib.Path, fault: Fault, number: signal.Signals, point: str
) -> None:
    survived = fault(f"{number.name} during {point}")
    config = config_of(small, train__steps=12, checkpoint__every=3, evaluate__every=3, evaluate__sentences=5)
    uninterrupted, training = Training(config, tmp_path / "whole"), Training(config, tmp_path / "run")
    assert uninterrupted.join(uninterrupted.start()) == 0, uninterrupted.log_text()
    start = time.monotonic()
    process = training.start(faulty.send_at, point, number)
    assert training.join(process) == 128 + number, training.log_text()
    assert time.monotonic() - start < 60  # most of it is the start of the process
    assert f"stopped by {number.name}" in training.log_text()
    assert "Traceback" not in training.log_text()
    assert training.valid_steps() == training.steps()
    assert bool(training.steps()) == (point != "compile")
    assert not any(path.stem == "lock" for path in training.path.iterdir())
    assert training.join(training.start()) == 0, training.log_text()
    assert training.digests() == uninterrupted.digests()
    compared = [[event for event in run.events() if event["split"] != "train"] for run in (training, uninterrupted)]
    assert compared[0] == compared[1]
    survived()


def limited(size: int) -> None:
    """Limits the size of files to `size` bytes, as on a disk that is nearly full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    from experiments.runs import run

    def limit(training: run.Run, *_: Any) -> None:
        training.checkpoints.wait()  # for checkpoint 20, which is written in the background
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    run.Run._log = faulty.before(run.Run._log, limit, lambda _, step, values: step >= 40)


def test_a_full_disk_leaves_the_last_checkpoint_complete(small: Small, tmp_path: pathlib.Path, fault: Fault) -> None:
    survived = fault("disk full during a save")
    training = Training(config_of(small, train__steps=100, checkpoint__every=20, model__d_model=144), tmp_path / "run")
    status = training.join(training.start(limited, 1_000_000))
    assert status == 1, training.log_text()
    message = r"error: checkpoint 40 .* [MG]iB are needed, .* [MG]iB are free; .* complete checkpoint is 20"
    assert re.search(message, training.log_text())
    assert training.valid_steps() == training.steps() != []
    assert training.join(training.start()) == 0, training.log_text()
    survived()


def test_two_processes_in_one_folder(small: Small, tmp_path: pathlib.Path, fault: Fault) -> None:
    survived = fault("a second process on the folder: refused")
    training = Training(config_of(small), tmp_path / "run")
    first = training.start()
    training.wait_for(first, lambda: bool(training.valid_steps()))
    second = training.start()
    assert training.join(second) == 2
    assert f"another process trains in this folder: {os.uname().nodename}, process {first.pid}" in training.log_text()
    assert first.is_alive()
    first.kill()
    training.join(first)
    survived()
    survived = fault("a lock whose process was killed: recognised")
    third = training.start()  # the lock of the killed process does not count
    training.wait_for(third, lambda: "continuing after" in training.log_text())
    third.kill()
    training.join(third)
    survived()


def spoil_batches(first: int, last: int, rate_at_most: float) -> None:
    """Makes the loss of some batches infinite, unless the learning rate is small."""
    import jax.numpy as jnp

    from transformer.training import step

    update = step._update

    def spoiled_update(train: Any, state: Any, gradients: Any, *args: Any) -> Any:
        (hyperparams,) = (value for value in args if isinstance(value, dict))
        matches = (state.step >= first) & (state.step <= last) & (hyperparams["learning_rate"] > rate_at_most)
        gradients = jax.tree.map(lambda gradient: jnp.where(matches, jnp.nan, gradient), gradients)
        return update(train, state, gradients, *args)

    step._update = spoiled_update


@pytest.mark.parametrize("accumulate", [1, 2])
def test_nonfinite_gradients(small: Small, tmp_path: pathlib.Path, fault: Fault, accumulate: int) -> None:
    changes = {"train__steps": 60, "checkpoint__every": 10, "train__accumulate": accumulate}
    survived = fault("a few updates without a finite gradient: skipped")
    few = Training(config_of(small, **changes), tmp_path / "few")
    assert few.join(few.start(spoil_batches, 24, 26, 0.0)) == 0, few.log_text()
    assert few.log_text().count("is skipped: its gradient is not finite") == 3
    assert len(list((few.path / "nonfinite").iterdir())) == 3
    assert all(np.isfinite(event["loss"]) for event in few.events() if event["split"] == "train")
    survived()

    survived = fault("no finite gradient any more: stopped")
    many = Training(config_of(small, **changes, train__on_nonfinite="stop"), tmp_path / "many")
    assert many.join(many.start(spoil_batches, 24, 99, 0.0)) == 1
    assert "error: no finite gradient in 5 consecutive updates up to 29" in many.log_text()
    assert many.valid_steps()[-1] == 20
    survived()

    survived = fault("no finite gradient any more: rolled back, half the learning rate")
    back = Training(config_of(small, **changes), tmp_path / "back")
    assert back.join(back.start(spoil_batches, 24, 99, 0.0006)) == 0, back.log_text()
    assert "back to update 20, with 0.5 times the learning rate" in back.log_text()
    rates = {event["step"]: event["learning_rate"] for event in back.events() if event["split"] == "train"}
    assert rates[20] == pytest.approx(2 * rates[30])
    survived()


def test_a_checkpoint_that_orbax_cannot_read_is_damaged(
    tmp_path: pathlib.Path, fault: Fault, undisturbed: Training
) -> None:
    """The damaged file is Orbax's own metadata, which the manifest does not cover, because a commit rewrites it."""
    survived = fault("damaged notes of Orbax")
    training = Training(undisturbed.config, tmp_path / "run")
    shutil.copytree(undisturbed.path, training.path)
    for name in ("_CHECKPOINT_METADATA", "commit_success.txt"):
        path = training.workdir.checkpoints / str(training.steps()[-1]) / name
        if path.exists():
            path.write_bytes(b"\x00")
    assert training.join(training.start()) == 0, training.log_text()[-3000:]
    assert training.digests() == undisturbed.digests()
    survived()
