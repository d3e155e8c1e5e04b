"""A trace of some updates for XProf, `experiments.train --profile=FROM:TO`."""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax

from transformer import storage


class ProfiledSteps:
    """A training step that writes a trace of some updates. A context manager, which also ends an interrupted trace.

    The trace begins when the update before is complete, and ends when the last update is.

    Args:
      step: the step, (state, ...) → (state, sums).
      updates: to trace; those up to `start` are left out.
      start: number of updates before the first call.
      accumulate: calls per update.
      folder: for `xprof --logdir=FOLDER`, or TensorBoard with its profile plugin.
      report: called with a line at the end.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        updates: range,
        start: int,
        accumulate: int,
        folder: pathlib.Path,
        report: Callable[[str], None],
    ) -> None:
        self._step, self._accumulate, self._folder, self._report = step, accumulate, folder, report
        self._calls, self._tracing = start * accumulate, False
        # XLA writes only on disk.
        self._temporary = tempfile.TemporaryDirectory() if storage.in_bucket(folder) else None
        self._updates = range(max(updates.start, start + 1), updates.stop)

    def __call__(self, state: Any, *args: Any) -> Any:
        """Calls the step."""
        update = self._calls // self._accumulate + 1
        if update in self._updates and not self._tracing:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._temporary.name if self._temporary else self._folder)
            self._tracing = True
        with jax.profiler.StepTraceAnnotation("train", step_num=update):
            state, sums = self._step(state, *args)
        self._calls += 1
        if self._calls == (self._updates.stop - 1) * self._accumulate:
            self._stop(state)
        return state, sums

    def _stop(self, state: Any) -> None:
        if self._tracing:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
            self._tracing = False
            if self._temporary:
                storage.upload_folder(pathlib.Path(self._temporary.name), self._folder)
                self._temporary.cleanup()
            last = self._calls // self._accumulate
            self._report(f"profile of updates {self._updates.start} to {last}: xprof --logdir={self._folder}")

    def __enter__(self) -> "ProfiledSteps":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop(())
        if not self._updates or self._calls < self._updates.start * self._accumulate:
            self._report("warning: --profile: training made none of these updates, and nothing was traced")
