"""Checkpoints: everything a run needs to go on, saved by Orbax while training continues.

Orbax writes a checkpoint under another name and renames it when it is whole. The SHA-256 of its files are written just
before that: every checkpoint has them, and one that was damaged later is found before it is used.
"""

import itertools
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from transformer.training import manifest
from transformer.training.state import Params, TrainState

Say = Callable[[str], None]


def _silent(text: str) -> None:
    """Says nothing."""


class Checkpoints:
    """The numbered checkpoints in a folder.

    Args:
      directory: made if it does not exist.
      keep: how many of the newest stay.
      say: is told of checkpoints that are passed over.
    """

    def __init__(self, directory: pathlib.Path, keep: int | None = None, say: Say = _silent) -> None:
        asynchronous = ocp.AsyncOptions(post_finalization_callback=self._seal)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, enable_async_checkpointing=True, async_options=asynchronous
        )
        # The handler is named so that shapes can be asked for before anything was saved or restored.
        handler = ocp.StandardCheckpointHandler()
        self._directory = directory.absolute()
        self._say = say
        self._saving, self._size = -1, 0
        self._failure: OSError | None = None
        self._manager = ocp.CheckpointManager(self._directory, item_handlers=handler, options=options)

    def steps(self) -> list[int]:
        """Steps there is a complete checkpoint of, oldest first."""
        return sorted(self._manager.all_steps())

    def sound(self, count: int = 1) -> list[int]:
        """The newest steps whose files are what was written, at most `count` of them, oldest first.

        Raises:
          ValueError: there are checkpoints, and all are damaged.
        """
        return sound(self._directory, self.steps(), count, self._say)

    def save(self, step: int, state: TrainState) -> None:
        """Copies `state` off the devices and writes it in the background; does nothing for a step that is saved."""
        if step not in self._manager.all_steps():
            self.wait()
            self._saving, self._size = step, sum(leaf.nbytes for leaf in jax.tree.leaves(state))
            self._manager.save(step, args=ocp.args.StandardSave(_named(state)), force=True)

    def _seal(self) -> None:
        """Adds the manifest to what was just written, before it gets the name that makes it a checkpoint."""
        if jax.process_index() == 0:
            for folder in self._directory.glob(f"{self._saving}.*tmp*"):
                manifest.write(folder)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state saved at `step`, as host arrays, checked against the shapes and dtypes of `like`.

        Raises:
          ValueError: the checkpoint is of another model or optimizer.
        """
        self._check(step, _kinds(like), self._kinds_there(step))
        wanted = _named(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like))
        return TrainState(**self._manager.restore(step, args=ocp.args.StandardRestore(wanted)))

    def evaluated(self, step: int, like: Params) -> Params:
        """`evaluated` of the state saved at `step`, as host arrays. The optimizer's part, which is larger, is not read.

        Args:
          step: there is a checkpoint of.
          like: arrays of the shapes and dtypes that parameters have, or such shapes.

        Raises:
          ValueError: the checkpoint is of another model.
        """
        there = self._kinds_there(step)
        part = "average" if any(name.startswith("average.") for name in there) else "params"
        wanted = {part: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)}
        self._check(step, _kinds(wanted), {name: kind for name, kind in there.items() if name.startswith(f"{part}.")})
        arguments = ocp.args.PyTreeRestore(
            wanted, restore_args=ocp.checkpoint_utils.construct_restore_args(wanted), partial_restore=True
        )
        with ocp.CheckpointManager(self._directory, item_handlers=ocp.PyTreeCheckpointHandler()) as reader:
            return reader.restore(step, args=arguments)[part]

    def _kinds_there(self, step: int) -> dict[str, str]:
        return {leaf.name: _kind(leaf) for leaf in jax.tree.leaves(self._manager.item_metadata(step).tree)}

    def _check(self, step: int, here: dict[str, str], there: dict[str, str]) -> None:
        # Orbax would restore another shape as it is, and turn another dtype into the one that is asked for.
        differing = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
        if differing:
            first, more = differing[0], f", and {len(differing) - 1} more differ" if differing[1:] else ""
            raise ValueError(
                f"checkpoint {step} is of another model or optimizer: "
                f"{first} is {there.get(first, 'absent')} there, {here.get(first, 'absent')} here{more}"
            )

    def wait(self) -> None:
        """Returns when everything that was saved is on disk.

        Raises:
          OSError: it could not be written; the message says what there is.
        """
        if self._failure is not None:  # trying again on a full disk would hide what was wrong first
            raise self._failure
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # of any kind: what was wrong with a file comes through several layers of C++
            free = shutil.disk_usage(self._directory).free / 2**20
            left = [step for step in self.steps() if step != self._saving]
            why = str(error).splitlines()[0][:200]
            self._failure = OSError(
                f"checkpoint {self._saving} could not be written to {self._directory}: {why}; "
                f"{self._size / 2**20:.1f} MiB are needed and {free:.1f} MiB free there; "
                + (f"the newest whole one is {left[-1]}" if left else "there is no other")
            )
            raise self._failure from error

    def close(self) -> None:
        """Waits and lets go of the folder."""
        self._manager.close()


def sound(directory: pathlib.Path, steps: list[int], count: int, say: Say) -> list[int]:
    """Of `steps` in `directory`, the newest that are as they were written; see `Checkpoints.sound`."""
    found: list[int] = []
    damaged: list[str] = []
    # Checkpoints of earlier versions have no manifest: where none has one, they are taken as they are.
    unsealed = not any(manifest.there(directory / str(step)) for step in steps)
    for step in sorted(steps, reverse=True):
        if len(found) == count:
            break
        folder = directory / str(step)
        fault = manifest.damage(folder)
        if fault is None:
            found.append(step)
        elif unsealed and any(folder.iterdir()):
            say(f"checkpoint {step} has no {manifest.NAME}: it is used, but nothing says that it is undamaged")
            found.append(step)
        else:
            damaged.append(f"{folder}: {fault}")
    for text in damaged:
        say(f"DAMAGED CHECKPOINT {text}")
    if steps and not found:
        raise ValueError(
            f"no checkpoint is undamaged ({'; '.join(damaged)}); "
            f"restore one from a copy, or remove {directory} to begin anew"
        )
    return found[::-1]


def set_aside_damaged(directory: pathlib.Path, say: Say) -> None:
    """Renames damaged checkpoints that are newer than the newest undamaged one, so that their steps can be saved again.

    Raises:
      ValueError: there are checkpoints, and all are damaged; nothing is renamed.
    """
    steps = manifest.steps(directory)
    newest = max(sound(directory, steps, 1, say), default=None)
    for step in sorted(steps):
        if newest is not None and step > newest:
            names = (directory / f"{step}.damaged{number}" for number in itertools.count(1))
            aside = next(path for path in names if not path.exists())
            (directory / str(step)).rename(aside)
            say(f"it is {aside} now; training goes on from checkpoint {newest}")


def _kinds(tree: Any) -> dict[str, str]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): _kind(leaf) for path, leaf in leaves}


def _kind(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"


def _named(state: TrainState) -> dict[str, Any]:
    return state._asdict()


def evaluated(state: TrainState) -> Params:
    """The parameters that are evaluated: the moving average where there is one, else the current ones."""
    return state.average or state.params


def mean_of_last(checkpoints: Checkpoints, count: int, like: Params) -> tuple[Params, list[int]]:
    """The mean of the evaluated parameters of the last `count` checkpoints, and their steps; Section 6.1.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: a checkpoint is of another model, or all are damaged.
    """
    steps = checkpoints.sound(count)
    if not steps:
        raise FileNotFoundError("there is no checkpoint to evaluate")
    total: Params | None = None
    for step in steps:
        params = checkpoints.evaluated(step, like)
        total = params if total is None else jax.tree.map(np.add, total, params)
    return jax.tree.map(lambda leaf: np.asarray(leaf / np.float32(len(steps))), total), steps
