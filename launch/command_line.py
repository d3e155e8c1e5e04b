"""What a launcher starts: the command that trains, as its flags were typed, checked before anything costs money."""

import pathlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.runtime import cli
from transformer.spec import Spec

HELD = 130  # seconds after which nothing is held any more by a process that was killed
ROOT = pathlib.Path(__file__).resolve().parents[1]


def subcommand(names: Sequence[str]) -> str:
    """Takes the first argument, which says what to do, off the command line; "" before --help.

    Ends the program with one line if it is none of `names`.
    """
    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if first in ("-h", "-help", "--help", "--helpfull"):
        sys.argv[1:] = ["--help"]
        return ""
    if first not in names:
        cli.refuse(f"{first}: unknown; the first argument is one of {', '.join(names)}")
    del sys.argv[1]
    return first


def need(args: object, names: Iterable[str], what: str) -> None:
    """Raises ValueError, which names them, if flags that `what` needs have no value."""
    missing = [name for name in names if not getattr(args, name)]
    if missing:
        raise ValueError(f"{what} needs {', '.join(f'--{name}' for name in missing)}")


def config_arguments(config: Any, copied: bool) -> list[str]:
    """--config and its overrides as they were typed, once they are known to make a config that can be trained.

    Args:
      config: the flag's value.
      copied: whether the job sees this repository alone; a config must then lie in it.

    Raises:
      ValueError: settings that do not go together; a form that cannot be passed on; a file outside of the repository.
    """
    Spec.from_config(config)
    passed = []
    for argument in sys.argv[1:]:
        if re.fullmatch(r"--?(no)?config(\..*)?", argument) and "=" not in argument:
            raise ValueError(f"{argument}: write it with its value, as {argument}=VALUE")
        if re.match(r"--?config=", argument):
            passed.insert(0, f"--config={_placed(argument.partition('=')[2], copied)}")
        elif re.match(r"--?config\.", argument):
            passed.append(f"--{argument.lstrip('-')}")
    return passed


def _placed(argument: str, copied: bool) -> str:
    """FILE or FILE:ARGUMENT as it is seen from the repository, where the job starts."""
    path, colon, chosen = argument.partition(":")
    resolved = pathlib.Path(path).resolve()
    if resolved.is_relative_to(ROOT):
        return f"{resolved.relative_to(ROOT)}{colon}{chosen}"
    if copied:
        raise ValueError(f"--config: {path} does not lie in {ROOT}, which is all that is copied")
    return f"{resolved}{colon}{chosen}"


def check_workdir(path: str) -> None:
    """Raises ValueError if training could not use the folder: it is written through the file system."""
    if "://" in path:
        raise ValueError(
            f"--workdir={path}: not a folder; mount the bucket or file share on the hosts, and give the path there"
        )


def train(python: str, config: Sequence[str], workdir: str, *more: str) -> list[str]:
    """The command line that trains, or continues, a run."""
    return [python, "-m", "experiments.train", *config, *more, f"--workdir={workdir}"]


def after_others(workdir: str) -> str:
    """A line for a shell that waits if a process may have been killed in the folder, and could not say so.

    What it held, see `experiments.runtime.leases`, counts as held for two minutes; training would be refused.
    """
    return f"if ls {shlex.quote(workdir)}/lock.* >/dev/null 2>&1; then sleep {HELD}; fi"


def sets(arguments: Sequence[str], key: str) -> bool:
    """Whether a config's key is among the overrides."""
    return any(argument.startswith(f"--config.{key}=") for argument in arguments)
