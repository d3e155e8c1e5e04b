"""A stand-in for SLURM: `sbatch`, `srun` and `scontrol` on a folder, with local processes as nodes.

A job runs its script in the background. A test imports this to signal its tasks, as SLURM does before the time limit.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

SLEEP = "#!/bin/sh\n"  # the wait for leases to expire takes minutes


class Cluster:
    """The folder holds each job's status, the process ids of its step, and whether it will be requeued."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def install(self) -> None:
        """Writes bin/sbatch and the other programs."""
        (self.folder / "bin").mkdir(parents=True)
        for name in ("sbatch", "srun", "scontrol", "sleep"):
            path = self.folder / "bin" / name
            text = f'#!/bin/sh\nexec {sys.executable} -S {__file__} {self.folder} {name} "$@"\n'
            path.write_text(SLEEP if name == "sleep" else text)
            path.chmod(0o755)

    def jobs(self) -> list[str]:
        """Returns the submitted jobs; each task of an array is one."""
        return sorted(path.stem for path in self.folder.glob("*.job"))

    def status(self, job: str) -> int | None:
        """Returns the exit status of a job, or None if it is still running."""
        path = self.folder / f"{job}.status"
        return int(path.read_text()) if path.exists() else None

    def end_step(self, job: str) -> None:
        """Sends SIGTERM to the job's tasks, as --signal=TERM@60 requests."""
        for process in json.loads((self.folder / f"{job}.step").read_text()):
            os.kill(process, signal.SIGTERM)

    def cancel(self, job: str) -> None:
        """Sends SIGTERM to the job's shell and tasks, as scancel does."""
        os.kill(int((self.folder / f"{job}.shell").read_text()), signal.SIGTERM)
        self.end_step(job)

    def sbatch(self, script: str) -> None:
        text = pathlib.Path(script).read_text(encoding="utf-8")
        options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.MULTILINE))
        first, last = map(int, options.get("array", "0-0").split("-"))
        number = os.getpid()
        for index in range(first, last + 1):
            job = str(number + index)
            (self.folder / f"{job}.job").touch()
            words = [job, str(index), script, options["nodes"], options["output"], f"{number}"]
            with pathlib.Path(os.devnull).open("r+b") as null:
                subprocess.Popen(
                    [sys.executable, "-S", __file__, str(self.folder), "job", *words],
                    stdin=null, stdout=null, stderr=null, start_new_session=True,
                )  # fmt: skip
        print(f"Submitted batch job {number}")

    def job(self, job: str, index: str, script: str, nodes: str, output: str, array: str) -> None:
        """Runs a job's script, and repeats it while the job is requeued."""
        log = pathlib.Path(output.replace("%j", job).replace("%A", array).replace("%a", index))
        again, restarts = self.folder / f"{job}.again", 0
        (self.folder / f"{job}.runner").write_text(str(os.getpid()))
        while True:
            again.unlink(missing_ok=True)
            environment = os.environ | {
                "SLURM_JOB_ID": job, "SLURM_RESTART_COUNT": str(restarts), "SLURM_NNODES": nodes,
                "SLURM_ARRAY_TASK_ID": index,
            }  # fmt: skip
            with log.open("a", encoding="utf-8") as file:
                shell = subprocess.Popen(["bash", script], env=environment, stdout=file, stderr=file)
            (self.folder / f"{job}.shell").write_text(str(shell.pid))
            status = shell.wait()
            if not again.exists():
                (self.folder / f"{job}.new").write_text(str(status))
                (self.folder / f"{job}.new").replace(self.folder / f"{job}.status")
                return
            restarts += 1

    def srun(self, *line: str) -> int:
        """Runs one task on each node; returns the highest exit status."""
        words = [word for index, word in enumerate(line) if index or not word.startswith("--cpus-per-task=")]
        job, nodes = os.environ["SLURM_JOB_ID"], int(os.environ["SLURM_NNODES"])
        shared = {
            "SLURM_STEP_NUM_TASKS": str(nodes), "SLURM_NTASKS": str(nodes), "SLURM_LOCALID": "0",
            "SLURM_STEP_NODELIST": ",".join(["127.0.0.1"] * nodes),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", "").replace("device_count=2", "device_count=1"),
        }  # fmt: skip
        tasks = [subprocess.Popen(words, env=os.environ | shared | {"SLURM_PROCID": str(n)}) for n in range(nodes)]
        step = self.folder / f"{job}.step"
        step.with_suffix(".new-step").write_text(json.dumps([task.pid for task in tasks]))
        step.with_suffix(".new-step").replace(step)
        return max(task.wait() for task in tasks)

    def scontrol(self, verb: str, job: str) -> None:
        assert verb == "requeue"
        (self.folder / f"{job}.again").touch()

    def end(self) -> None:
        """Kills the processes that are still running."""
        for job in (job for job in self.jobs() if self.status(job) is None):
            for path in (self.folder / f"{job}.{kind}" for kind in ("runner", "shell", "step")):
                pids = json.loads(path.read_text()) if path.exists() else []
                for process in pids if isinstance(pids, list) else [pids]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

    def wait(self, within: float = 60.0) -> list[int]:
        """Waits until all jobs have finished; returns their exit statuses."""
        end = time.monotonic() + within
        while None in (statuses := [self.status(job) for job in self.jobs()]):
            assert time.monotonic() < end, f"still running after {within} seconds"
            time.sleep(0.05)
        return [status for status in statuses if status is not None]


if __name__ == "__main__":
    sys.exit(getattr(Cluster(pathlib.Path(sys.argv[1])), sys.argv[2])(*sys.argv[3:]))
