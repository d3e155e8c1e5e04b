"""Training processes that something happens to: what `test_faults.py` starts.

In a module of its own, which a new process imports without any test.
"""

import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests import pod
from transformer.training import manifest


def kill() -> None:
    """As the kernel does it when memory runs out: nothing runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(function: Callable[..., Any], act: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
    """The function, but `act` comes before it once `when` says so; both are given its arguments."""

    def patched(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            act(*args)
        return function(*args, **kwargs)

    return patched


def once_more_than(count: int) -> Callable[..., bool]:
    """True from call number `count` on, counted from 0."""
    calls = iter(range(1 << 30))
    return lambda *_: next(calls) >= count


def only(count: int) -> Callable[..., bool]:
    """True at call number `count` alone, counted from 0."""
    calls = iter(range(1 << 30))
    return lambda *_: next(calls) == count


def _cut_manifest(folder: pathlib.Path) -> None:
    (folder / manifest.NAME).write_text("half a li")
    kill()


def _half_deleted(path: Any, *_: Any) -> None:
    files = sorted(file for file in pathlib.Path(path).rglob("*") if file.is_file())
    for file in files[::2]:
        file.unlink()
    kill()


def _is_checkpoint(path: Any, *_: Any) -> bool:
    return pathlib.Path(path).name.isdecimal()


def at_named_point(point: str, saves: int) -> None:
    """Arranges for the process to be killed at a point of its save number `saves`, counted from 0."""
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
    else:
        raise ValueError(point)


def on_devices(count: int) -> None:
    """Divides the CPU into as many devices."""
    os.environ["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={count}"  # the last one counts


def send_at(point: str, number: int) -> None:
    """Arranges for a signal to reach the process where it is busy with `point`."""
    from experiments.runs import run, scoring
    from transformer.training import aot

    def signal_soon(*_: Any) -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    if point == "compile":
        aot.ShapedStep._program = before(aot.ShapedStep._program, signal_soon, only(0))
        lower = aot.ShapedStep.__init__

        def slowly(self: Any, step: Any, *args: Any, **kwargs: Any) -> None:
            class Slow:
                def lower(self, *shapes: Any) -> Any:
                    time.sleep(3)
                    return step.lower(*shapes)

            lower(self, Slow(), *args, **kwargs)

        aot.ShapedStep.__init__ = slowly
    elif point == "step":
        run.Run._log = before(run.Run._log, signal_soon, only(1))
    elif point == "evaluation":
        run.Run._evaluated = before(run.Run._evaluated, signal_soon, only(1))
    elif point == "save":
        manifest.write = before(manifest.write, lambda _: [signal_soon(), time.sleep(0.3)], only(1))
    elif point == "decoding":
        # Long enough that the signal comes while it lasts.
        run.evaluate_split = before(scoring.evaluate_split, lambda *_: [signal_soon(), time.sleep(2)], lambda *_: True)
    else:
        raise ValueError(point)


def log_to(path: str) -> None:
    """Sends what is printed to the end of a file."""
    with open(path, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def train_two(config: dict[str, Any], path: str, log: str, prepare: Callable[..., None] | None, *args: Any) -> None:
    """Trains two seeds in one program, in `path` and in `path` with "-other" at its end, after `prepare(*args)`."""
    log_to(log)
    from experiments.runs import trainer
    from experiments.runs.execute import open_run
    from transformer.spec import Spec

    if prepare is not None:
        prepare(*args)
    other = config | {"train": config["train"] | {"seed": 1}}
    first = open_run(Spec.from_config(config), path)
    trainer.train([first, first.beside(Spec.from_config(other), f"{path}-other", "other")])


def train(config: dict[str, Any], path: str, log: str, prepare: Callable[..., None] | None, *args: Any) -> None:
    """Trains in this process as `experiments.train` does, after `prepare(*args)`; ends with its exit status."""
    log_to(log)
    from absl import flags

    from experiments import train
    from experiments.runtime import cli

    path_of_config = pod.write_config(pathlib.Path(path).with_suffix(".config.py"), config)
    flags.FLAGS.unparse_flags()
    sys.argv = ["train", f"--config={path_of_config}", f"--workdir={path}"]
    if prepare is not None:
        prepare(*args)
    cli.run(train.define, train.main)
