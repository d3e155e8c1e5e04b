"""How every command begins and ends: flags, configs, and mistakes told in one line."""

import contextlib
import importlib.util
import pathlib
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from absl import app, flags, logging

from experiments.runtime import signals
from transformer.spec import DTYPES

# What a user's mistake raises, at any depth of reading flags, configs, corpora and run folders.
_MISTAKES = (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class Args(SimpleNamespace):
    """The values of a command's flags, by name."""

    def __getattr__(self, name: str) -> Any:  # only for type checkers: a missing name is a mistake in the command
        raise AttributeError(f"the command defines no flag --{name}")


_TRACEBACK = flags.DEFINE_bool("traceback", False, "show where in the program a mistake was found")


def refuse(message: object) -> NoReturn:
    """Ends the program with status 2 and one line on what is wrong."""
    line = " ".join(str(message).split())
    print(f"error: {line}", file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def mistakes() -> Iterator[None]:
    """Inside, what a wrong setting or file raises ends the program with one line and status 2, not with a traceback."""
    try:
        yield
    except _MISTAKES as error:
        if _TRACEBACK.value:
            raise
        refuse(error)


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Inside, what ends work through no mistake of the user ends the program with one line and status 1."""
    try:
        yield
    except (ArithmeticError, MemoryError, OSError) as error:
        if _TRACEBACK.value:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def _parse(argv: Sequence[str]) -> list[str]:
    """absl's parser, but a mistake is one line, and so is a key that the config does not have."""
    if any(argument in ("-h", "-help", "--help", "--helpfull") for argument in argv[1:]):
        print((sys.modules["__main__"].__doc__ or "").strip(), "\n\nflags:", sep="")
        print("\n".join(_flag_lines()))
        sys.exit(0)
    for argument in argv[1:]:
        name, _, value = argument.lstrip("-").partition("=")
        path = pathlib.Path(value.split(":")[0])
        if name == "config" and not path.is_file():
            refuse(f"--config: {path} does not exist")
    try:
        rest = flags.FLAGS(list(argv))
    except Exception as error:  # whatever a config file or a flag's parser raises is about what the user typed
        refuse(_flag_mistake(error, argv))
    if len(rest) > 1:
        refuse(f"unexpected argument: {rest[1]}")
    return rest


def _flag_mistake(error: BaseException, argv: Sequence[str]) -> str:
    """What is wrong with the flags, from what reading them raised."""
    if isinstance(error, flags.Error) and "Traceback" not in str(error):
        return str(error)
    while error.__cause__ or error.__context__:  # ml_collections wraps what a config raises in its whole traceback
        error = error.__cause__ or error.__context__ or error
    text = str(error.args[0]) if error.args else repr(error)
    if isinstance(error, KeyError | AttributeError):
        keys = [argument.lstrip("-").partition("=")[0] for argument in argv if argument.startswith("--config.")]
        missing = text.split("\n")[0].strip("'\"")
        named = next((key for key in keys if missing in key.split(".")), missing)
        hint = re.search(r'Did you mean "(.*?)"', text)
        return f"unknown config key: {named}" + (f"; did you mean {hint.group(1)}?" if hint else "")
    return text


def _flag_lines() -> Iterator[str]:
    """The command's own flags, without those of the libraries it uses."""
    modules = flags.FLAGS.flags_by_module_dict()
    for flag in modules.get(sys.argv[0], []) + modules.get(__name__, []):
        yield f"  --{flag.name}: {flag.help}" + (f" (default: {flag.default})" if flag.default else "")


def end_on_sigterm() -> None:
    """Makes SIGTERM end the program as an exception does, so that what it has started ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def module_of(flag: str, path: str, name: str) -> Any:
    """The Python file that a flag gives, which has a function `name`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not Python, or has no such function.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{flag}: {path} does not exist")
    found = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    if found is None or found.loader is None:
        raise ValueError(f"{flag}: {path} is not a Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"{flag}: {path} has no {name}(); the files in configs/ of its kind do")
    return module


def define_dtype() -> flags.FlagHolder:
    """Defines the flag of commands that translate with a trained run."""
    return flags.DEFINE_enum(
        "dtype",
        None,
        list(DTYPES),
        "of matrix products; default: as trained. bfloat16 takes about half the time where a processor multiplies 16 "
        "bits (GPUs, CPUs with AMX), and changes a few sentences",
    )


def is_set(name: str) -> bool:
    """Whether the user gave the flag."""
    return flags.FLAGS[name].present > 0


def run(define: Callable[[], None], main: Callable[[Args], None]) -> None:
    """Defines a command's flags, parses them, and runs `main` with their values.

    absl's flags are global: they are defined here and not at import, so that one process can import several commands.
    Shows libraries' warnings, not their info messages.

    Args:
      define: calls `flags.DEFINE_...`.
      main: the command; its argument has a value for each flag, by the flag's name.
    """
    known = set(flags.FLAGS)
    define()
    names = set(flags.FLAGS) - known
    logging.set_verbosity(logging.WARNING)

    def interruptible(_: Sequence[str]) -> None:
        try:
            main(Args(**{name: flags.FLAGS[name].value for name in names}))
        except (signals.Interrupted, KeyboardInterrupt) as error:
            signals.end(error, "; the same command goes on from here")

    app.run(interruptible, flags_parser=_parse)
