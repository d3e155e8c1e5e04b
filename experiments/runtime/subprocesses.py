"""Runs work in a separate process, which frees its memory and devices when it exits; its output goes to a log file."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from experiments.runtime.signals import GRACE, Interrupted, Interrupts, exit_interrupted
from transformer import storage


def run(target: Callable[..., None], *args: Any, wait: Callable[[Any], None] = lambda process: process.join()) -> int:
    """Calls `target(*args)`, a function of a module, in a new process; returns its exit status.

    Whatever stops this process also stops the new one, which first saves its state. `wait` is called with the process,
    and returns when it has exited.
    """
    child = multiprocessing.get_context("spawn").Process(target=_in_child, args=(target, args))
    child.start()
    try:
        wait(child)
    except KeyboardInterrupt:
        child.join(GRACE + 5)  # the terminal has sent SIGINT to the child too; a second signal would stop its saving
        raise
    finally:
        child.terminate()
        child.join()
    return child.exitcode or 0


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Returns `function(*args)`, called in a new process, where JAX is not initialised and no memory is in use."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def _in_child(target: Callable[..., None], args: tuple[Any, ...]) -> None:
    try:
        target(*args)
    except (Interrupted, KeyboardInterrupt) as error:
        exit_interrupted(error)


@contextlib.contextmanager
def logging_to(path: pathlib.Path) -> Iterator[Interrupts]:
    """In a child process: appends all output to a file, and handles the signals that stop a run.

    If the file is in a bucket, it is written at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _appended(path) as local, local.open("a", encoding="utf-8") as log, Interrupts() as interrupts:
        os.dup2(log.fileno(), 1)  # file descriptors, because C++ libraries write to them directly
        os.dup2(log.fileno(), 2)
        yield interrupts


@contextlib.contextmanager
def _appended(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the file, or one on disk whose content is appended to a file in a bucket."""
    if not storage.in_bucket(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / path.name
        try:
            yield local
        finally:
            with path.open("ab") as file:
                file.write(local.read_bytes())
