"""Runs a command line, or prints it."""

import shlex
import shutil
import subprocess
import sys

_MENDS = {
    "gcloud": "install the Google Cloud CLI (cloud.google.com/sdk), then: gcloud auth login",
    "xpk": "install it with: pip install xpk",
    "sbatch": "run this on a host from which jobs of a SLURM cluster are submitted",
}


class LineError(OSError):
    """A command line ended with another status than 0, or not in time."""


class Shell:
    """Where command lines go.

    Args:
      dry_run: print each line as it would be typed, and run none.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.dry_run = dry_run

    def run(self, *line: str, timeout: float | None = None) -> None:
        """Runs a line, after it was shown; its output is seen.

        Raises:
          FileNotFoundError: there is no such program.
          LineError: it ended with another status than 0, or not within `timeout` seconds.
        """
        program = line[0] if self.dry_run else _found(line[0])
        self._show(line)
        if not self.dry_run:
            try:
                done = subprocess.run([program, *line[1:]], stdin=subprocess.DEVNULL, check=False, timeout=timeout)
            except subprocess.TimeoutExpired as error:
                raise LineError(f"no end within {timeout:.0f} seconds: {_short(line)}") from error
            if done.returncode:
                raise LineError(f"ended with status {done.returncode}: {_short(line)}")

    def read(self, *line: str, timeout: float = 300.0) -> str:
        """What a line prints, which only looks at something; "" in a dry run. It is not shown otherwise.

        Raises:
          FileNotFoundError: there is no such program.
          LineError: it ended with another status than 0, or not within `timeout` seconds; with what it said about that.
        """
        if self.dry_run:
            self._show(line)
            return ""
        try:
            done = subprocess.run(
                [_found(line[0]), *line[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise LineError(f"no end within {timeout:.0f} seconds: {_short(line)}") from error
        if done.returncode:
            raise LineError(f"ended with status {done.returncode}: {_short(line)}: {done.stderr.strip()}")
        return done.stdout

    def say(self, text: str) -> None:
        """Prints a remark: in a dry run as a shell's comment, so that all that is printed can be pasted."""
        print(f"# {text}" if self.dry_run else text, flush=True)

    def _show(self, line: tuple[str, ...]) -> None:
        if self.dry_run:
            print(shlex.join(line), flush=True)
        else:
            print(f"+ {shlex.join(line)}", file=sys.stderr, flush=True)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not on PATH; {_MENDS.get(program, 'install it')}")
    return path


def _short(line: tuple[str, ...], longest: int = 160) -> str:
    text = shlex.join(line)
    return text if len(text) <= longest else text[:longest] + " ..."
