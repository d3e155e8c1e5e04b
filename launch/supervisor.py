"""Sees a run on a Cloud TPU slice to its end: waits for the slice, and makes a new one when it is taken away."""

import contextlib
import time
from collections.abc import Callable

from launch.shell import LineError
from launch.tpu_vm import GONE, READY, MissingError, Slice

_AGAIN = ("143", "lost", "none")  # ended by SIGTERM, with its host, or on a host that is new


def wait(tpu: Slice, poll: float) -> None:
    """Returns once the slice is there.

    Raises:
      LineError: it will not be.
    """
    said = ""
    while True:
        try:
            state = tpu.state()
        except LineError as error:
            if not said or isinstance(error, MissingError):
                raise
            state = str(error)  # of a network that is down for a while
        if state in GONE:
            raise LineError(f"{tpu.name} is {state}")
        if state == READY or tpu.shell.dry_run:
            return
        if state != said:
            tpu.shell.say(f"{tpu.name}: {state}")
        said = state
        time.sleep(poll)


def verdict(statuses: list[str]) -> str:
    """What is to be done, by what all hosts say: "wait", "again", "done" or "failed"."""
    if not statuses or "running" in statuses:
        return "wait"  # JAX ends the other processes of a run that has lost one
    if any(status in _AGAIN for status in statuses):
        return "again"
    return "done" if set(statuses) == {"0"} else "failed"


def watch(tpu: Slice, start: Callable[[], None], prepare: str, poll: float, delete_at_end: bool = False) -> None:
    """Sees a run to its end: on this slice, and on new ones when it is taken away.

    A run that is going on already is only looked after. Ctrl-C ends the looking after, not the run.

    Args:
      tpu: the slice.
      start: starts training on it.
      prepare: see `Slice.setup`.
      poll: seconds between two looks.
      delete_at_end: delete the slice then.

    Raises:
      LineError: training failed, or there is no such slice, or no more.
    """
    seen = begun = False
    while True:
        state, statuses = _look(tpu, seen)
        seen = seen or state != ""
        what = verdict(statuses)
        if statuses and not begun:
            if what == "wait":
                tpu.shell.say(f"{tpu.name}: a run is going on already, and is looked after")
                begun = True
            else:
                what = "again"  # what the hosts say is of an earlier run
        if state in GONE:
            tpu.shell.say(f"{tpu.name} is {state}: a new one is made, on which the run continues")
            _renew(tpu, poll)
        if state in GONE or what == "again":
            # A host that was started anew has lost what was mounted, too.
            again = begun or state in GONE or "lost" in statuses
            _begin(tpu, start, prepare if again else None)
            begun = True
        elif what in ("done", "failed"):
            _end(tpu, statuses, delete_at_end)
            return
        time.sleep(poll)


def _look(tpu: Slice, seen: bool) -> tuple[str, list[str]]:
    """The slice's state, and its hosts' statuses if it is there; "" and none if that could not be learnt.

    Raises:
      LineError: it could not even the first time, or somebody has deleted the slice. Who made a new one then would
        spend what somebody has just stopped spending.
    """
    state = ""
    try:
        state = tpu.state()
        return state, tpu.statuses() if state == READY else []
    except LineError as error:
        if isinstance(error, MissingError) or not (seen or state):
            raise
        tpu.shell.say(f"{tpu.name}: {error}")
    return state, []


def _begin(tpu: Slice, start: Callable[[], None], prepare: str | None) -> None:
    """Starts training; again if `prepare` is given, and what goes wrong then is dealt with at the next look."""
    if prepare is None:
        start()
        tpu.shell.say(f"{tpu.name}: training")
        return
    try:
        tpu.setup(prepare)
        start()
        tpu.shell.say(f"{tpu.name}: training goes on")
    except LineError as error:
        tpu.shell.say(f"{tpu.name}: {error}")


def _renew(tpu: Slice, poll: float) -> None:
    """Deletes the slice, and makes it anew, however long that takes: most of the time there is no capacity."""
    while True:
        try:
            if tpu.exists():
                tpu.delete()
            tpu.create()
            wait(tpu, poll)
            return
        except LineError as error:
            tpu.shell.say(f"{tpu.name}: {error}; once more in {poll:.0f} seconds")
            time.sleep(poll)


def _end(tpu: Slice, statuses: list[str], delete_at_end: bool) -> None:
    done = verdict(statuses) == "done"
    if not done:
        with contextlib.suppress(LineError):
            tpu.logs("0", 20, follow=False)
    if delete_at_end:
        tpu.delete()
    else:
        tpu.shell.say(f"{tpu.name}: the slice goes on costing money until `delete`")
    if not done:
        raise LineError(f"{tpu.name}: training ended with status {', '.join(statuses)} on its hosts; `logs` says why")
    tpu.shell.say(f"{tpu.name}: training is done")
