"""Training processes with injected faults, for `test_faults.py`.

This is a separate module, so that a new process does not import the tests.
"""

import importlib
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests import pod
from transformer import storage
from transformer.training import manifest


def kill() -> None:
    """Kills this process as the kernel does when memory runs out; no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def terminate(*_: Any) -> None:
    """Sends SIGTERM to this process."""
    os.kill(os.getpid(), signal.SIGTERM)


def before(function: Callable[..., Any], act: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
    """Returns the function with a call of `act` before it when `when` returns True; both get its arguments."""

    def patched(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            act(*args)
        return function(*args, **kwargs)

    return patched


def once_more_than(count: int) -> Callable[..., bool]:
    """Returns a predicate that is True from call number `count` on, counted from 0."""
    calls = iter(range(1 << 30))
    return lambda *_: next(calls) >= count


def only(count: int) -> Callable[..., bool]:
    """Returns a predicate that is True only at call number `count`, counted from 0."""
    calls = iter(range(1 << 30))
    return lambda *_: next(calls) == count


def _cut_manifest(folder: pathlib.Path) -> None:
    (folder / manifest.NAME).write_text("half a li")
    kill()


def _half_deleted(path: Any, *_: Any) -> None:
    files = sorted(file for file in storage.path(str(path)).rglob("*") if file.is_file())
    for file in files[::2]:
        file.unlink()
    kill()


def _is_checkpoint(path: Any, *_: Any) -> bool:
    return pathlib.PurePath(path).name.isdecimal()


def at_named_point(point: str, saves: int) -> None:
    """Patches the process so that it is killed at a point of its save number `saves`, counted from 0."""
    write = manifest.write
    if point == "during the manifest":
        manifest.write = before(write, _cut_manifest, once_more_than(saves))
    elif point == "between write and commit":
        count = once_more_than(saves)

        def written(folder: pathlib.Path) -> None:
            write(folder)
            if count():
                kill()

        manifest.write = written
    elif point == "while an old step is deleted":
        shutil.rmtree = before(shutil.rmtree, _half_deleted, _is_checkpoint)
    elif point == "while an old step is deleted from a bucket":
        from etils.epath import gpath

        gpath.PosixGPath.rmtree = before(gpath.PosixGPath.rmtree, _half_deleted, _is_checkpoint)
    else:
        raise ValueError(point)


def in_bucket(variables: dict[str, str], prepare: Callable[..., None] | None = None, *args: Any) -> None:
    """Sets the variables of an emulator, which may have started after the server that forks this process.

    The checks of memory, half of the time of a start, are left out.
    """
    from experiments.runs import trainer

    os.environ.update(variables)
    trainer._check_evaluation_memory = lambda *_: None
    if prepare is not None:
        prepare(*args)


def without_credentials(folder: str) -> None:
    """Hides the emulator, the user's credentials and the server that machines of Google Cloud get theirs from."""
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        os.environ.pop(name, None)
    os.environ |= {"CLOUDSDK_CONFIG": folder, "NO_GCE_CHECK": "true"}


def on_devices(count: int) -> None:
    """Divides the CPU into `count` devices."""
    os.environ["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={count}"  # the last one counts


def send_at(point: str, number: int) -> None:
    """Patches the process so that it receives a signal during `point`."""
    from experiments.runs import run, scoring
    from transformer.training import aot

    def signal_soon(*_: Any) -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    if point == "compile":
        aot.CompiledSteps._program = before(aot.CompiledSteps._program, signal_soon, only(0))
        lower = aot.CompiledSteps.__init__

        def slowly(self: Any, step: Any, *args: Any, **kwargs: Any) -> None:
            class Slow:
                def lower(self, *shapes: Any) -> Any:
                    time.sleep(3)
                    return step.lower(*shapes)

            lower(self, Slow(), *args, **kwargs)

        aot.CompiledSteps.__init__ = slowly
    elif point == "step":
        run.Run._log = before(run.Run._log, signal_soon, only(1))
    elif point == "evaluation":
        run.Run._validate = before(run.Run._validate, signal_soon, only(1))
    elif point == "save":
        manifest.write = before(manifest.write, lambda _: [signal_soon(), time.sleep(0.3)], only(1))
    elif point == "decoding":
        # Long enough that the signal comes while it lasts.
        run.evaluate_split = before(scoring.evaluate_split, lambda *_: [signal_soon(), time.sleep(2)], lambda *_: True)
    else:
        raise ValueError(point)


def signal_after(*updates: int) -> None:
    """Patches the process so that it receives SIGTERM after each of the updates that it dispatches."""
    from experiments.runtime import progress

    bar = progress.ProgressBar
    bar.set_done = before(bar.set_done, terminate, lambda _, update: update in updates)


def signal_in_evaluation(count: int) -> None:
    """Patches the process so that it receives SIGTERM at the start of evaluation number `count`, counted from 0."""
    from experiments.runs import run

    run.Run._validate = before(run.Run._validate, terminate, only(count))


def log_to(path: str) -> None:
    """Appends all output to a file."""
    with open(path, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def train_two(config: dict[str, Any], path: str, log: str, prepare: Callable[..., None] | None, *args: Any) -> None:
    """Calls `prepare(*args)`, then trains a population of two seeds, in `path` and in `path` with "-other" appended."""
    log_to(log)
    from experiments.runs import trainer
    from experiments.runs.execute import open_run
    from transformer.spec import Spec

    if prepare is not None:
        prepare(*args)
    other = config | {"train": config["train"] | {"seed": 1}}
    first = open_run(Spec.from_config(config), path)
    trainer.train([first, first.sibling(Spec.from_config(other), f"{path}-other", "other")])


def train(config: dict[str, Any], path: str, log: str, prepare: Callable[..., None] | None, *args: Any) -> None:
    """Trains in this process as `experiments.train` does; see `command`."""
    path_of_config = pod.write_config(pathlib.Path(log).with_suffix(".config.py"), config)
    command("train", [f"--config={path_of_config}", f"--workdir={path}"], log, prepare, *args)


def command(
    name: str, arguments: Sequence[str], log: str, prepare: Callable[..., None] | None = None, *args: Any
) -> None:
    """Calls `prepare(*args)`, then runs a command in this process, with its output in `log`; exits with its status."""
    log_to(log)
    from absl import flags

    from experiments.runtime import cli

    module = importlib.import_module(f"experiments.{name}")
    flags.FLAGS.unparse_flags()
    sys.argv = [name, *arguments]
    if prepare is not None:
        prepare(*args)
    cli.run(module.define, module.main)
