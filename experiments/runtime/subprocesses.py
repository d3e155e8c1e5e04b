"""Work in a process of its own: what it does to memory and devices ends with it, and its output goes to a log."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from experiments.runtime.signals import GRACE, Interrupted, Interrupts, end


def run(target: Callable[..., None], *args: Any, wait: Callable[[Any], None] = lambda child: child.join()) -> int:
    """Calls `target(*args)` in a new process; returns its exit status.

    Whatever ends this process ends that one, too, which saves what it can first. `wait` is given the process.
    """
    child = multiprocessing.get_context("spawn").Process(target=_in_child, args=(target, args))
    child.start()
    try:
        wait(child)
    except KeyboardInterrupt:
        child.join(GRACE + 5)  # a terminal has told the child, too; a second signal would cut off what it saves
        raise
    finally:
        child.terminate()
        child.join()
    return child.exitcode or 0


def result_of(function: Callable[..., Any], *args: Any) -> Any:
    """What `function(*args)` returns in a new process, where JAX has not started and no memory was used."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def _in_child(target: Callable[..., None], args: tuple[Any, ...]) -> None:
    try:
        target(*args)
    except (Interrupted, KeyboardInterrupt) as error:
        end(error)


@contextlib.contextmanager
def logging_to(path: pathlib.Path) -> Iterator[Interrupts]:
    """In a child: inside, output goes to the end of a file, and the signals to end are handled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log, Interrupts() as interrupts:
        os.dup2(log.fileno(), 1)  # what C++ libraries write, too
        os.dup2(log.fileno(), 2)
        yield interrupts
