"""Flags, config files, error reporting and exit statuses that all commands share."""

import contextlib
import importlib.util
import pathlib
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from absl import app, flags, logging

from experiments.runtime import signals
from transformer.spec import DTYPES

# Exceptions that a wrong flag, config, corpus or run folder raises, at any depth.
_USER_ERRORS = (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class Args(SimpleNamespace):
    """The values of a command's flags, by name."""

    def __getattr__(self, name: str) -> Any:  # for type checkers; reached only if the command does not define the flag
        raise AttributeError(f"the command defines no flag --{name}")


_TRACEBACK = flags.DEFINE_bool("traceback", False, "print the Python traceback of an error")


def exit_with_error(message: object) -> NoReturn:
    """Prints one line, "error: MESSAGE", and exits with status 2."""
    _exit(message, 2)


def _exit(message: object, status: int) -> NoReturn:
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Reports errors of the user (a wrong setting or file) in one line, without a traceback; exits with status 2."""
    try:
        yield
    except _USER_ERRORS as error:
        if _TRACEBACK.value:
            raise
        exit_with_error(error)


@contextlib.contextmanager
def runtime_errors() -> Iterator[None]:
    """Reports errors that the user did not cause in one line, without a traceback; exits with status 1."""
    try:
        yield
    except (ArithmeticError, MemoryError, OSError) as error:
        if _TRACEBACK.value:
            raise
        _exit(error, 1)


def _parse(argv: Sequence[str]) -> list[str]:
    """Parses flags as absl does, but reports every error, unknown config keys included, in one line."""
    if any(argument in ("-h", "-help", "--help", "--helpfull") for argument in argv[1:]):
        print((sys.modules["__main__"].__doc__ or "").strip(), "\n\nflags:", sep="")
        print("\n".join(_flag_lines()))
        sys.exit(0)
    for argument in argv[1:]:
        name, equals, value = argument.lstrip("-").partition("=")
        path = pathlib.Path(value.split(":")[0])
        if name == "config" and equals and not path.is_file():
            exit_with_error(f"--config: {path} does not exist")
    try:
        rest = flags.FLAGS(list(argv))
    except Exception as error:  # whatever a config file or a flag's parser raises is about the user's input
        exit_with_error(_flag_error(error, argv))
    if len(rest) > 1:
        exit_with_error(f"unexpected argument: {rest[1]}")
    return rest


def _flag_error(error: BaseException, argv: Sequence[str]) -> str:
    """Returns a one-line message for an exception that parsing the flags raised."""
    if isinstance(error, flags.Error) and "Traceback" not in str(error):
        return str(error)
    while error.__cause__ or error.__context__:  # ml_collections puts the config file's traceback into the message
        error = error.__cause__ or error.__context__ or error
    text = str(error.args[0]) if error.args else repr(error)
    if isinstance(error, KeyError | AttributeError):
        keys = [argument.lstrip("-").partition("=")[0] for argument in argv if argument.startswith("--config.")]
        missing = text.split("\n")[0].strip("'\"")
        key = next((key for key in keys if missing in key.split(".")), missing)
        hint = re.search(r'Did you mean "(.*?)"', text)
        return f"unknown config key: {key}" + (f"; did you mean {hint.group(1)}?" if hint else "")
    return text


def _flag_lines() -> Iterator[str]:
    """Yields one line of help for each of the command's own flags; flags of imported libraries are left out."""
    modules = flags.FLAGS.flags_by_module_dict()
    for flag in modules.get(sys.argv[0], []) + modules.get(__name__, []):
        yield f"  --{flag.name}: {flag.help}" + (f" (default: {flag.default})" if flag.default else "")


def exit_on_sigterm() -> None:
    """Makes SIGTERM raise SystemExit, so that context managers and child processes are cleaned up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def load_module(flag: str, path: str, name: str) -> ModuleType:
    """Imports the Python file that a flag names; it may lie in any folder and must define the function `name`.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not Python, raises an exception when imported, or defines no function `name`.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{flag}: {path} does not exist")
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{flag}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{flag}: {path} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ValueError(f"{flag}: {path} has no {name}(); see the files of the same kind in configs/")
    return module


def define_dtype_flag(default: str | None = None) -> flags.FlagHolder:
    """Defines --dtype, for commands that translate with a trained model; the default None is the dtype of training."""
    return flags.DEFINE_enum(
        "dtype",
        default,
        list(DTYPES),
        f"dtype of the matmuls{'' if default else '; default: that of training'}. bfloat16 takes about half the time "
        "on hardware with 16-bit matmuls (GPUs, CPUs with AMX), and changes a few translations, also with the batch "
        "size and the number of devices: 7 to 23 of 1,000 on a CPU, where float32 changes none",
    )


def is_set(name: str) -> bool:
    """Whether the user gave the flag."""
    return flags.FLAGS[name].present > 0


def run(define: Callable[[], None], main: Callable[[Args], None]) -> None:
    """Defines a command's flags, parses them, and runs `main` with their values.

    absl's flags are global. They are defined when the command runs and not at import, so that one process can import
    several commands. The argument of `main` has a value for each flag, by the flag's name. Libraries' warnings are
    shown, their info messages are not.
    """
    known = set(flags.FLAGS)
    define()
    names = set(flags.FLAGS) - known
    logging.set_verbosity(logging.WARNING)

    def interruptible(_: Sequence[str]) -> None:
        try:
            main(Args(**{name: flags.FLAGS[name].value for name in names}))
        except (signals.Interrupted, KeyboardInterrupt) as error:
            signals.exit_interrupted(error, "; run the same command again to continue")

    app.run(interruptible, flags_parser=_parse)
