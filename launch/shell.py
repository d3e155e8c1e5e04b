"""Runs a command line, or prints it."""

import shlex
import shutil
import subprocess
import sys

_INSTALL_HINTS = {
    "gcloud": "install the Google Cloud CLI (cloud.google.com/sdk), then: gcloud auth login",
    "xpk": "install it with: pip install xpk",
    "sbatch": "run this on a host from which jobs of a SLURM cluster are submitted",
}


class CommandError(OSError):
    """A command line exited with a status other than 0, or timed out."""


class Shell:
    """Runs command lines.

    Args:
      dry_run: print each command line in shell syntax and run none.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.dry_run = dry_run

    def run(self, *command: str, timeout: float | None = None) -> None:
        """Prints and runs a command line; its output goes to this process's output.

        Raises:
          FileNotFoundError: the program is not installed.
          CommandError: the command exited with a status other than 0, or ran longer than `timeout` seconds.
        """
        if self.dry_run:
            print(shlex.join(command), flush=True)
            return
        _resolve(command[0])
        print(f"+ {shlex.join(command)}", file=sys.stderr, flush=True)
        _execute(command, timeout, capture=False)

    def capture(self, *command: str, timeout: float = 300.0) -> str:
        """Returns the output of a command line that only reads state; "" in a dry run, which prints the command.

        Raises:
          FileNotFoundError: the program is not installed.
          CommandError: the command exited with a status other than 0, or ran longer than `timeout` seconds. The message
            includes its stderr.
        """
        if self.dry_run:
            print(shlex.join(command), flush=True)
            return ""
        return _execute(command, timeout, capture=True)

    def report(self, text: str) -> None:
        """Prints a message; in a dry run as a shell comment, so that the complete output can be pasted into a shell."""
        print(f"# {text}" if self.dry_run else text, flush=True)


def _execute(command: tuple[str, ...], timeout: float | None, capture: bool) -> str:
    """Runs a command line; returns its output, "" unless it is captured, in which case errors include its stderr."""
    line, null = [_resolve(command[0]), *command[1:]], subprocess.DEVNULL
    try:
        result = subprocess.run(
            line,
            stdin=null,
            capture_output=capture,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"timed out after {timeout:.0f} seconds: {_shorten(command)}") from error
    if result.returncode:
        stderr = f": {result.stderr.strip()}" if capture else ""
        raise CommandError(f"exited with status {result.returncode}: {_shorten(command)}{stderr}")
    return result.stdout or ""


def _resolve(program: str) -> str:
    if path := shutil.which(program):
        return path
    raise FileNotFoundError(f"{program} is not on PATH; {_INSTALL_HINTS.get(program, 'install it')}")


def _shorten(command: tuple[str, ...], longest: int = 160) -> str:
    text = shlex.join(command)
    return text if len(text) <= longest else text[:longest] + " ..."
