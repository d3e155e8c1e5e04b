"""Checkpoints: the complete state of a run, saved by Orbax in the background.

Orbax writes a checkpoint under a temporary name and renames it when it is complete. A manifest with the SHA-256 of the
files is written just before the rename. Every checkpoint thus has one, and damage is detected before the checkpoint is
used. In a bucket, where nothing is renamed, the folder has its final name from the start; Orbax writes an object
`commit_success.txt` when it is complete.
"""

import contextlib
import functools
import itertools
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from transformer import storage
from transformer.byte_size import format_bytes
from transformer.spec import Spec
from transformer.training import manifest
from transformer.training.partitioning import is_stacked
from transformer.training.state import Params, TrainState, stack_layers, unstack_layers

Log = Callable[[str], None]


def _discard(text: str) -> None:
    """Logs nothing."""


def is_scheduled(spec: Spec, step: int) -> bool:
    """Returns whether training saves a checkpoint of `step` by its schedule; step 0 holds a pretrained model.

    An interruption saves a checkpoint of any other step.
    """
    return step % spec.checkpoint.every == 0 or step == spec.train.steps


class _Preservation:
    """Orbax's policy for old checkpoints: keeps the newest scheduled ones, and the newest of all to continue from.

    Args:
      keep: number of scheduled checkpoints to keep.
      scheduled: step → whether the checkpoint is a scheduled one.
    """

    def __init__(self, keep: int, scheduled: Callable[[int], bool]) -> None:
        self._keep, self._scheduled = keep, scheduled

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Returns for each checkpoint whether it is kept."""
        del context
        steps = sorted(checkpoint.step for checkpoint in checkpoints)
        kept = {*list(filter(self._scheduled, steps))[-self._keep :], *steps[-1:]}
        return [checkpoint.step in kept for checkpoint in checkpoints]


class Checkpoints:
    """The numbered checkpoints in a folder.

    Args:
      directory: the folder; created if it does not exist.
      keep: number of newest scheduled checkpoints to keep; None: all. The newest of all is kept in any case.
      log: receives a line about each checkpoint that is skipped.
      scheduled: step → whether the checkpoint is a scheduled one, not one that an interruption added; default: all are.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        keep: int | None = None,
        log: Log = _discard,
        scheduled: Callable[[int], bool] = lambda step: True,
    ) -> None:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=None if keep is None else _Preservation(keep, scheduled),
            create=True,
            enable_async_checkpointing=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        # An explicit handler, so that metadata can be read before the first save or restore.
        handler = ocp.StandardCheckpointHandler()
        self._directory = directory.absolute()
        self._log, self._scheduled = log, scheduled
        self._saving, self._size = -1, 0
        self._failure: OSError | None = None
        # As text: Orbax has its own class of paths.
        self._manager = ocp.CheckpointManager(str(self._directory), item_handlers=handler, options=options)

    def steps(self) -> list[int]:
        """Returns the steps of all complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def valid_steps(self, count: int = 1) -> list[int]:
        """Returns the newest `count` steps, or fewer, whose files match their manifests, oldest first.

        Raises:
          ValueError: all checkpoints are damaged.
        """
        return valid_steps(self._directory, self.steps(), count, self._log)

    def valid_scheduled_steps(self, count: int) -> list[int]:
        """Returns the newest `count` steps of undamaged scheduled checkpoints, or the newest undamaged step if none is.

        Raises:
          ValueError: all checkpoints are damaged.
        """
        if scheduled := self.scheduled_steps():
            with contextlib.suppress(ValueError):
                return valid_steps(self._directory, scheduled, count, self._log)
        return self.valid_steps()

    def scheduled_steps(self) -> list[int]:
        """Returns the steps of the scheduled checkpoints, oldest first."""
        return list(filter(self._scheduled, self.steps()))

    def discard_after(self, step: int) -> None:
        """Deletes the checkpoints of later steps."""
        for later in reversed([other for other in self.steps() if other > step]):
            self._manager.delete(later)

    def save(self, step: int, state: TrainState) -> None:
        """Copies `state` to the host and writes it in the background; does nothing if the step is saved already."""
        if step not in self._manager.all_steps():
            self.wait()
            self._saving, self._size = step, sum(leaf.nbytes for leaf in jax.tree.leaves(state))
            self._manager.save(step, args=ocp.args.StandardSave(state._asdict()), force=True)

    def _seal(self) -> None:
        """Writes the manifest of a new checkpoint before Orbax completes it."""
        if jax.process_index() == 0:
            if storage.in_bucket(self._directory):
                manifest.write(self._directory / str(self._saving))
            for folder in self._directory.glob(f"{self._saving}.*tmp*"):
                manifest.write(folder)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Reads the state of `step` as host arrays, and checks it against the shapes and dtypes of `like`.

        The checkpoint may be one with or without `model.scan_layers`.

        Raises:
          ValueError: the checkpoint belongs to another model or optimizer.
        """
        saved = self._saved_types(step)
        to_saved, from_saved = _layer_conversions(saved, _leaf_types(like))
        target = jax.eval_shape(to_saved, like)
        self._check(step, _leaf_types(target), saved)
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), target)._asdict()
        return from_saved(TrainState(**self._manager.restore(step, args=ocp.args.StandardRestore(target))))

    def restore_params(self, step: int, like: Params) -> Params:
        """Reads `evaluated_params` of `step` as host arrays. It skips the optimizer's state, which is larger.

        Args:
          step: step of a checkpoint.
          like: parameters, or their shapes and dtypes.

        Raises:
          ValueError: the checkpoint belongs to another model.
        """
        saved = self._saved_types(step)
        part = "average" if any(name.startswith("average.") for name in saved) else "params"
        to_saved, from_saved = _layer_conversions(saved, _leaf_types(like))
        target = {part: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(to_saved, like))}
        saved_params = {name: leaf_type for name, leaf_type in saved.items() if name.startswith(f"{part}.")}
        self._check(step, _leaf_types(target), saved_params)
        arguments = ocp.args.PyTreeRestore(
            target, restore_args=ocp.checkpoint_utils.construct_restore_args(target), partial_restore=True
        )
        with ocp.CheckpointManager(str(self._directory), item_handlers=ocp.PyTreeCheckpointHandler()) as reader:
            return from_saved(reader.restore(step, args=arguments)[part])

    def _saved_types(self, step: int) -> dict[str, str]:
        return {leaf.name: _leaf_type(leaf) for leaf in jax.tree.leaves(self._manager.item_metadata(step).tree)}

    def _check(self, step: int, expected: dict[str, str], saved: dict[str, str]) -> None:
        # Orbax restores an array of another shape without an error, and converts another dtype.
        differing = sorted(name for name in saved.keys() | expected.keys() if saved.get(name) != expected.get(name))
        if differing:
            first, more = differing[0], f", and {len(differing) - 1} more differ" if differing[1:] else ""
            raise ValueError(
                f"checkpoint {step} belongs to another model or optimizer: "
                f"{first} is {saved.get(first, 'absent')}, expected {expected.get(first, 'absent')}{more}"
            )

    def wait(self) -> None:
        """Waits until all saved checkpoints are on disk.

        Raises:
          OSError: a checkpoint could not be written; the message names the newest complete one.
        """
        if self._failure is not None:  # a second attempt on a full disk would hide the first error
            raise self._failure
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # of any type: file errors pass through several layers of C++
            free = None if storage.in_bucket(self._directory) else shutil.disk_usage(self._directory).free
            complete = [step for step in self.steps() if step != self._saving]
            reason = str(error).splitlines()[0][:200]
            self._failure = OSError(
                f"checkpoint {self._saving} could not be written to {self._directory}: {reason}; "
                f"{format_bytes(self._size)} are needed{'' if free is None else f', {format_bytes(free)} are free'}; "
                + (f"the newest complete checkpoint is {complete[-1]}" if complete else "there is no other checkpoint")
            )
            raise self._failure from error

    def close(self) -> None:
        """Waits for pending saves and releases the folder."""
        self._manager.close()


def valid_steps(directory: pathlib.Path, steps: list[int], count: int, log: Log) -> list[int]:
    """Returns the newest undamaged `steps` in `directory`; see `Checkpoints.valid_steps`."""
    valid: list[int] = []
    damaged: list[str] = []
    # Checkpoints of earlier versions have no manifest. If none has one, they are used without verification.
    unverifiable = not any(manifest.exists(directory / str(step)) for step in manifest.checkpoint_steps(directory))
    for step in sorted(steps, reverse=True):
        if len(valid) == count:
            break
        folder = directory / str(step)
        fault = manifest.first_fault(folder)
        if fault is None:
            valid.append(step)
        elif unverifiable and any(folder.iterdir()):
            log(f"checkpoint {step} has no {manifest.NAME}: using it without verification")
            valid.append(step)
        else:
            damaged.append(f"{folder}: {fault}")
    for text in damaged:
        log(f"DAMAGED CHECKPOINT {text}")
    if steps and not valid:
        raise ValueError(
            f"all checkpoints are damaged ({'; '.join(damaged)}); "
            f"restore one from a backup, or remove {directory} to start from scratch"
        )
    return valid[::-1]


def quarantine_damaged(directory: pathlib.Path, log: Log) -> None:
    """Renames damaged checkpoints that are newer than the newest undamaged one, so that their steps can be saved again.

    Raises:
      ValueError: all checkpoints are damaged; none is renamed.
    """
    steps = manifest.checkpoint_steps(directory)
    newest = max(valid_steps(directory, steps, 1, log), default=None)
    for step in sorted(steps):
        if newest is not None and step > newest:
            names = (directory / f"{step}.damaged{number}" for number in itertools.count(1))
            quarantined = next(path for path in names if not path.exists())
            (directory / str(step)).rename(quarantined)
            log(f"renamed to {quarantined}; training continues from checkpoint {newest}")


def _layer_conversions(saved: Iterable[str], own: Iterable[str]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Returns functions that convert parameters to the form of a checkpoint and back: with stacked layers, or without.

    Args:
      saved: names of the checkpoint's arrays.
      own: names of the model's.
    """
    saved_stacked, own_stacked = (any(map(is_stacked, names)) for names in (saved, own))
    if saved_stacked == own_stacked:
        return (lambda tree: tree), (lambda tree: tree)
    if saved_stacked:
        return stack_layers, unstack_layers
    return unstack_layers, functools.partial(stack_layers, stack=np.stack)


def _leaf_types(tree: Any) -> dict[str, str]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): _leaf_type(leaf) for path, leaf in leaves}


def _leaf_type(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"


def evaluated_params(state: TrainState) -> Params:
    """Returns the parameters to evaluate: the moving average if there is one, else the current ones."""
    return state.average or state.params


def average_last(checkpoints: Checkpoints, count: int, like: Params) -> tuple[Params, list[int]]:
    """Computes the mean of `evaluated_params` of the last `count` checkpoints; also returns their steps. Section 6.1.

    Only scheduled checkpoints count, so that the result does not depend on interruptions. Without an undamaged one, the
    newest undamaged checkpoint is used.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: a checkpoint belongs to another model, or all checkpoints are damaged.
    """
    steps = checkpoints.valid_scheduled_steps(count)
    if not steps:
        raise FileNotFoundError("there is no checkpoint to evaluate")
    total: Params | None = None
    for step in steps:
        params = checkpoints.restore_params(step, like)
        total = params if total is None else jax.tree.map(np.add, total, params)
    return jax.tree.map(lambda leaf: np.asarray(leaf / np.float32(len(steps))), total), steps
