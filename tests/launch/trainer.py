"""Stands in for a worker's Python: counts steps in the workdir instead of training, and resumes after SIGTERM.

Process 0 writes; the others exit when it is done. It fails if the workdir holds a file `fail`.
"""

import os
import pathlib
import signal
import sys
import time

STEPS = 60
workdir = pathlib.Path(next(word for word in sys.argv if word.startswith("--workdir=")).partition("=")[2])
workdir.mkdir(parents=True, exist_ok=True)
print("arguments:", *sys.argv[1:], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if (workdir / "fail").exists():
    sys.exit(1)
log = workdir / "steps"
if os.environ.get("JAX_PROCESS_ID", os.environ.get("SLURM_PROCID")) == "0":
    step = len(log.read_text().split()) if log.exists() else 0
    while step < STEPS:
        step += 1
        with log.open("a") as file:
            print(step, file=file)
        time.sleep(0.02)
    (workdir / "done").touch()
while not (workdir / "done").exists():
    time.sleep(0.02)
