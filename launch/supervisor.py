"""Supervises a run on a Cloud TPU slice until training finishes, and recreates the slice after a preemption."""

import contextlib
import time
from collections.abc import Callable

from launch.shell import CommandError
from launch.tpu_vm import LOST_STATES, READY, NotFoundError, TpuVm

_RESTARTABLE = ("143", "lost", "none")  # stopped by SIGTERM, killed with its host, or not started on a new host


def wait_until_ready(tpu: TpuVm, poll: float) -> None:
    """Waits until the slice is ready.

    Raises:
      CommandError: the slice is in a state from which it cannot become ready.
    """
    last_state = ""
    while True:
        try:
            state = tpu.state()
        except CommandError as error:
            if not last_state or isinstance(error, NotFoundError):
                raise
            state = str(error)  # the network may be down for a while
        if state in LOST_STATES:
            raise CommandError(f"{tpu.name} is {state}")
        if state == READY or tpu.shell.dry_run:
            return
        if state != last_state:
            tpu.shell.report(f"{tpu.name}: {state}")
        last_state = state
        time.sleep(poll)


def next_action(statuses: list[str]) -> str:
    """Returns what to do for the statuses of all hosts: "wait", "restart", "done" or "failed"."""
    if not statuses or "running" in statuses:
        return "wait"  # JAX stops the other processes of a run that has lost one
    if any(status in _RESTARTABLE for status in statuses):
        return "restart"
    return "done" if set(statuses) == {"0"} else "failed"


def supervise(tpu: TpuVm, start: Callable[[], None], prepare: str, poll: float, delete_at_end: bool = False) -> None:
    """Supervises a run until training finishes, on this slice and on new ones after preemptions.

    If the run is already in progress, it is not started again. Ctrl-C stops the supervisor, not the run.

    Args:
      tpu: the slice.
      start: starts training on it.
      prepare: see `TpuVm.setup`.
      poll: seconds between two polls.
      delete_at_end: delete the slice when training stops.

    Raises:
      CommandError: training failed, or the slice does not exist or was deleted by the user.
    """
    seen = started = False
    while True:
        state, statuses = _poll(tpu, seen)
        seen = seen or state != ""
        action = next_action(statuses)
        if statuses and not started:
            if action == "wait":
                tpu.shell.report(f"{tpu.name}: supervising the run that is in progress")
                started = True
            else:
                action = "restart"  # the statuses belong to an earlier run
        if state in LOST_STATES:
            tpu.shell.report(f"{tpu.name} is {state}: recreating it to resume the run")
            _recreate(tpu, poll)
        if state in LOST_STATES or action == "restart":
            # A host that rebooted has also lost its mounts.
            needs_setup = started or state in LOST_STATES or "lost" in statuses
            _start(tpu, start, prepare if needs_setup else None)
            started = True
        elif action in ("done", "failed"):
            _finish(tpu, statuses, delete_at_end)
            return
        time.sleep(poll)


def _poll(tpu: TpuVm, seen: bool) -> tuple[str, list[str]]:
    """Returns the slice's state and, if it is ready, the statuses of its hosts; "" and [] if gcloud failed.

    Raises:
      CommandError: the first poll failed, or the slice was deleted by the user. Recreating it would then spend money
        that the user has just stopped spending.
    """
    state = ""
    try:
        state = tpu.state()
        return state, tpu.statuses() if state == READY else []
    except CommandError as error:
        if isinstance(error, NotFoundError) or not (seen or state):
            raise
        tpu.shell.report(f"{tpu.name}: {error}")
    return state, []


def _start(tpu: TpuVm, start: Callable[[], None], prepare: str | None) -> None:
    """Starts training; if `prepare` is given, resumes it after a new setup, whose errors the next poll handles."""
    try:
        if prepare is not None:
            tpu.setup(prepare)
        start()
        tpu.shell.report(f"{tpu.name}: training {'started' if prepare is None else 'resumed'}")
    except CommandError as error:
        if prepare is None:
            raise
        tpu.shell.report(f"{tpu.name}: {error}")


def _recreate(tpu: TpuVm, poll: float) -> None:
    """Deletes the slice and creates it again; retries without a limit, because often there is no capacity."""
    while True:
        try:
            if tpu.exists():
                tpu.delete()
            tpu.create()
            wait_until_ready(tpu, poll)
            return
        except CommandError as error:
            tpu.shell.report(f"{tpu.name}: {error}; retrying in {poll:.0f} seconds")
            time.sleep(poll)


def _finish(tpu: TpuVm, statuses: list[str], delete_at_end: bool) -> None:
    done = next_action(statuses) == "done"
    if not done:
        with contextlib.suppress(CommandError):
            tpu.logs("0", 20, follow=False)
    if delete_at_end:
        tpu.delete()
    else:
        tpu.shell.report(f"{tpu.name}: the slice costs money until `delete`")
    if not done:
        raise CommandError(f"{tpu.name}: training exited with status {', '.join(statuses)} on its hosts; see `logs`")
    tpu.shell.report(f"{tpu.name}: training is done")
