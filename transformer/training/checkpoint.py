"""Checkpoints: everything a run needs to go on, saved by Orbax while training continues."""

import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from transformer.training.state import Params, TrainState


class Checkpoints:
    """The numbered checkpoints in a folder.

    Args:
      directory: made if it does not exist.
      keep: how many of the newest stay.
    """

    def __init__(self, directory: pathlib.Path, keep: int | None = None) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=True)
        # The handler is named so that shapes can be asked for before anything was saved or restored.
        handler = ocp.StandardCheckpointHandler()
        self._directory = directory.absolute()
        self._manager = ocp.CheckpointManager(self._directory, item_handlers=handler, options=options)

    def steps(self) -> list[int]:
        """Steps there is a complete checkpoint of, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: TrainState) -> None:
        """Copies `state` off the devices and writes it in the background; does nothing for a step that is saved."""
        if step not in self._manager.all_steps():
            self._manager.save(step, args=ocp.args.StandardSave(_named(state)), force=True)

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
        """Returns when everything that was saved is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits and lets go of the folder."""
        self._manager.close()


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
      ValueError: a checkpoint is of another model.
    """
    steps = checkpoints.steps()[-count:]
    if not steps:
        raise FileNotFoundError("there is no checkpoint to evaluate")
    total: Params | None = None
    for step in steps:
        params = checkpoints.evaluated(step, like)
        total = params if total is None else jax.tree.map(np.add, total, params)
    return jax.tree.map(lambda leaf: np.asarray(leaf / np.float32(len(steps))), total), steps
