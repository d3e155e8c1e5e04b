"""Leases on names: one holder at a time, and every lease can expire."""

import concurrent.futures
import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import uuid

import pytest

from experiments.runtime import leases
from experiments.runtime.leases import acquire, holder


def age(path: pathlib.Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_name_has_one_holder_until_release(tmp_path: pathlib.Path) -> None:
    first = acquire(tmp_path, "a", 60)
    assert first is not None
    with first:
        assert acquire(tmp_path, "a", 60) is None
        assert acquire(tmp_path, "b", 60) is not None
        assert holder(tmp_path, "a", 60) == f"{socket.gethostname()}, process {os.getpid()}"
    assert holder(tmp_path, "a", 60) is None
    assert acquire(tmp_path, "a", 60) is not None


def test_one_of_many_concurrent_acquires_succeeds(tmp_path: pathlib.Path) -> None:
    names = [str(number) for number in range(23)] * 7
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        acquired = list(pool.map(lambda name: acquire(tmp_path, name, 60) is not None, names))
    assert sum(acquired) == 23


def test_one_of_many_acquires_after_a_dead_holder_succeeds(tmp_path: pathlib.Path) -> None:
    for number in range(23):
        dead = acquire(tmp_path, str(number), 60)
        assert dead is not None
        age(dead.path, 61)
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        acquired = list(pool.map(lambda name: acquire(tmp_path, name, 60) is not None, [str(n) for n in range(23)] * 7))
    assert sum(acquired) == 23


def test_a_slow_holder_notices_that_it_lost_the_lease(tmp_path: pathlib.Path) -> None:
    slow = acquire(tmp_path, "a", 60)
    assert slow is not None
    age(slow.path, 61)
    other = acquire(tmp_path, "a", 60)
    assert other is not None
    assert not slow.held()
    assert other.held()
    with other:
        pass
    again = acquire(tmp_path, "a", 60)  # of the same generation as the slow one's
    assert again is not None
    assert again.path == slow.path
    assert again.held()
    assert not slow.held()


def test_an_exited_process_of_this_machine_is_dead_at_once(tmp_path: pathlib.Path) -> None:
    """But not one with the same id in another container or on another host, nor one of an older version."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    content = {"host": socket.gethostname(), **leases._process(child.pid), "token": "x"}
    (tmp_path / "running.0").write_text(json.dumps(content))
    assert acquire(tmp_path, "running", 60) is None
    child.communicate(b"\n")
    cases = {
        "exited": ({}, True),
        "other_host": ({"host": "elsewhere"}, False),
        "other_container": ({"namespace": "pid:[7]"}, False),
        "rebooted": ({"boot": "0-0"}, False),  # the file system may be another machine's
    }
    for name, (changes, free) in cases.items():
        (tmp_path / f"{name}.0").write_text(json.dumps(content | changes))
        assert (acquire(tmp_path, name, 60) is not None) == free, name
    (tmp_path / "old.0").write_text(json.dumps({"host": socket.gethostname(), "pid": child.pid, "token": "x"}))
    assert acquire(tmp_path, "old", 60) is None


def test_a_later_process_with_the_same_id_does_not_hold_the_lease(tmp_path: pathlib.Path) -> None:
    content = {"host": socket.gethostname(), **leases._process(os.getpid()), "token": "x"}
    (tmp_path / "a.0").write_text(json.dumps(content | {"start": "1"}))
    assert acquire(tmp_path, "a", 60) is not None


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_failing_file_system_does_not_cost_the_lease(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """While renewals and listings fail, the process goes on, and then it renews the lease again."""
    lease = acquire(tmp_path, "a", 0.6)
    assert lease is not None
    failures = []

    def fail(*args: object) -> None:
        failures.append(args)
        raise OSError(number, "injected")

    with lease:
        with monkeypatch.context() as patch:
            patch.setattr(os, "utime", fail)
            patch.setattr(os, "listdir", fail)
            while len(failures) < 7:
                time.sleep(0.01)
            assert lease.held()
            assert holder(tmp_path, "a", 0.6) == "unknown"
            with pytest.raises(OSError, match="injected"):
                acquire(tmp_path, "a", 0.6)
        age(lease.path, 61)
        time.sleep(0.3)
        assert holder(tmp_path, "a", 0.6) is not None
    assert holder(tmp_path, "a", 0.6) is None


def test_a_process_that_was_overtaken_leaves_no_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw a dead holder; meanwhile another process took the lease and released it, and a third one acquired it."""
    dead = acquire(tmp_path, "a", 60)
    assert dead is not None
    age(dead.path, 61)
    original, others = uuid.uuid4, []

    def others_first() -> uuid.UUID:
        """Runs between the look at the dead holder and the creation of the next file."""
        monkeypatch.setattr(uuid, "uuid4", original)
        second = acquire(tmp_path, "a", 60)
        assert second is not None
        second.release()
        others.append(acquire(tmp_path, "a", 60))
        return original()

    monkeypatch.setattr(uuid, "uuid4", others_first)
    assert acquire(tmp_path, "a", 60) is None
    (third,) = others
    assert third is not None
    assert third.held()
    assert [path.name for path in tmp_path.iterdir()] == [third.path.name]


def test_a_lease_is_renewed(tmp_path: pathlib.Path) -> None:
    lease = acquire(tmp_path, "a", 0.6)
    assert lease is not None
    with lease:
        for _ in range(12):
            time.sleep(0.1)
            assert acquire(tmp_path, "a", 0.6) is None


def test_a_process_that_loses_its_lease_exits(tmp_path: pathlib.Path) -> None:
    program = (
        "import pathlib, sys, time; from experiments.runtime import leases\n"
        "with leases.acquire(pathlib.Path(sys.argv[1]), 'a', 0.6) as c:\n"
        "    c.path.with_name('a.1').write_text('{}'); time.sleep(60)"
    )
    root = pathlib.Path(leases.__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert ended.returncode == leases.LEASE_LOST
    assert "lost to another process" in ended.stderr
