"""The training command of a launcher: its arguments as the user typed them, checked before anything costs money."""

import pathlib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.runtime import cli, config_files
from transformer import storage
from transformer.spec import Spec

LEASE_EXPIRY = 130  # seconds after which every lease of a killed process has expired
ROOT = pathlib.Path(__file__).resolve().parents[1]


def pop_subcommand(names: Sequence[str]) -> str:
    """Removes the first argument, the subcommand, from `sys.argv` and returns it; "" before --help.

    Exits with a one-line message if it is none of `names`.
    """
    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if first in ("-h", "-help", "--help", "--helpfull"):
        sys.argv[1:] = ["--help"]
        return ""
    if first not in names:
        cli.exit_with_error(f"{first}: unknown; the first argument is one of {', '.join(names)}")
    del sys.argv[1]
    return first


def require_flags(args: object, names: Iterable[str], subcommand: str) -> None:
    """Raises ValueError, with their names, if flags that `subcommand` needs have no value."""
    missing = [name for name in names if not getattr(args, name)]
    if missing:
        raise ValueError(f"{subcommand} needs {', '.join(f'--{name}' for name in missing)}")


def config_arguments(config: Any, copied: bool) -> list[str]:
    """Returns --config and its overrides as the user typed them, after checking that the config is valid.

    If the job sees only a copy of this repository (`copied`), the config file must lie in it.

    Raises:
      ValueError: inconsistent settings, an argument that cannot be passed on, or a file outside the repository.
    """
    Spec.from_config(config)
    arguments = []
    for argument in sys.argv[1:]:
        if re.fullmatch(r"--?(no)?config(\..*)?", argument) and "=" not in argument:
            raise ValueError(f"{argument}: write it with its value, as {argument}=VALUE")
        if re.match(r"--?config=", argument):
            arguments.insert(0, f"--config={_job_path(argument.partition('=')[2], copied)}")
        elif re.match(r"--?config\.", argument):
            arguments.append(f"--{argument.lstrip('-')}")
    return arguments


def _job_path(argument: str, copied: bool) -> str:
    """Returns FILE or FILE:ARGUMENT as the job finds it: relative to the repository, where the job starts."""
    path, config_argument = config_files.split_argument(argument)
    resolved = pathlib.Path(path).resolve()
    if resolved.is_relative_to(ROOT):
        resolved = resolved.relative_to(ROOT)
    elif copied:
        raise ValueError(f"--config: {path} does not lie in {ROOT}, and only that folder is copied")
    return str(resolved) if config_argument is None else f"{resolved}:{config_argument}"


def check_shared_workdir(path: str, why: str) -> None:
    """Raises ValueError with the reason `why` unless a workdir is in a bucket or the path of a mounted file share."""
    storage.check_url(path)
    if not path.startswith(("gs://", "/")):
        raise ValueError(
            f"--workdir={path}: {why}; give gs://BUCKET/FOLDER, or the absolute path of a mounted file share"
        )


def train_command(python: str, config: Sequence[str], workdir: str, distributed: bool = False) -> list[str]:
    """Returns the command line that trains or resumes a run, in several processes unless `config` says otherwise."""
    overridden = any(argument.startswith("--config.parallel.distributed=") for argument in config)
    overrides = ["--config.parallel.distributed=on"] if distributed and not overridden else []
    wait = f"--wait_for_lock={LEASE_EXPIRY}"  # that of a process that was killed on another host
    return [python, "-m", "experiments.train", *config, *overrides, f"--workdir={workdir}", wait]
