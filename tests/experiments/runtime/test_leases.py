"""Leases on names: one holder at a time, and every lease can expire."""

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

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


def test_an_exited_process_of_this_host_is_dead_at_once(tmp_path: pathlib.Path) -> None:
    exited = subprocess.Popen([sys.executable, "-c", ""])
    exited.wait()
    for host, free in ((socket.gethostname(), True), ("elsewhere", False)):
        (tmp_path / f"{host}.0").write_text(json.dumps({"host": host, "pid": exited.pid, "token": "x"}))
        assert (acquire(tmp_path, host, 60) is not None) == free


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
