"""Flags, config files, error reporting and exit statuses that all commands share."""

import contextlib
import io
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from absl import app, flags, logging

from experiments.runtime import signals
from transformer.spec import DTYPES, UNKNOWN_POLICIES

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
    """Reports errors of the user (a wrong setting or file) in one line, without a traceback; exits with status 2.

    Other errors of files, such as a network that fails, are reported in one line, too, with status 1.
    """
    try:
        yield
    except (*_USER_ERRORS, OSError) as error:
        if _TRACEBACK.value or isinstance(error, BrokenPipeError):  # see `_exit_at_closed_output`
            raise
        _exit(error, 2 if isinstance(error, _USER_ERRORS) else 1)


@contextlib.contextmanager
def runtime_errors() -> Iterator[None]:
    """Reports errors that the user did not cause in one line, without a traceback; exits with status 1."""
    try:
        yield
    except (ArithmeticError, MemoryError, OSError) as error:
        if _TRACEBACK.value or isinstance(error, BrokenPipeError):  # see `_exit_at_closed_output`
            raise
        _exit(error, 1)
    except RuntimeError as error:  # of JAX, which this module does not import
        if _TRACEBACK.value or "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _exit(f"a device has too little memory ({str(error).splitlines()[0]}); lower the batch size", 1)


def _parse(argv: Sequence[str]) -> list[str]:
    """Parses flags as absl does, but reports every error, unknown config keys included, in one line."""
    if any(argument in ("-h", "-help", "--help", "--helpfull") for argument in argv[1:]):
        print((sys.modules["__main__"].__doc__ or "").strip(), "\n\nflags:", sep="")
        print("\n".join(_flag_lines()), flush=True)
        sys.exit(0)
    try:
        rest = flags.FLAGS(list(argv))
    except Exception as error:  # whatever a config file or a flag's parser raises is about the user's input
        exit_with_error(error)
    if len(rest) > 1:
        exit_with_error(f"unexpected argument: {rest[1]}")
    return rest


def _flag_lines() -> Iterator[str]:
    """Yields one line of help for each of the command's own flags; flags of imported libraries are left out."""
    modules = flags.FLAGS.flags_by_module_dict()
    for flag in modules.get(sys.argv[0], []) + modules.get(__name__, []):
        yield f"  --{flag.name}: {flag.help}" + (f" (default: {flag.default})" if flag.default else "")


def exit_on_sigterm() -> None:
    """Makes SIGTERM raise SystemExit, so that context managers and child processes are cleaned up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


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


class _FoldersParser(flags.ListParser):
    """Parses folders, separated by commas. A folder that exists may have commas in its name."""

    def parse(self, argument: str | list[str]) -> list[str]:
        if not isinstance(argument, str):
            return argument
        folders, rest = list[str](), argument.split(",")
        while rest:
            # The longest name of a folder comes first. Names of missing folders have no commas.
            ends = (end for end in range(len(rest), 1, -1) if os.path.isdir(",".join(rest[:end])))
            end = next(ends, 1)
            folders.append(",".join(rest[:end]))
            rest = rest[end:]
        return folders if any("," in folder for folder in folders) else super().parse(argument)


def define_workdirs_flag() -> None:
    """Defines --workdir, for commands that translate with a run or an ensemble of runs."""
    text = "folder of a run; several, separated by commas: an ensemble"
    flags.DEFINE(_FoldersParser(), "workdir", [], text, serializer=flags.CsvListSerializer(","))


def define_unknown_flag() -> flags.FlagHolder:
    """Defines --unknown, for commands that translate with a trained model."""
    return flags.DEFINE_enum(
        "unknown",
        UNKNOWN_POLICIES[0],
        list(UNKNOWN_POLICIES),
        "what stands for unknown words in translations. copy: the source word with the most attention (without "
        "attention, the unknown words of the source in order); show: ⁇; drop: nothing",
    )


def is_set(name: str) -> bool:
    """Whether the user gave the flag."""
    return flags.FLAGS[name].present > 0


def _restart_with_utf8() -> None:
    """Starts Python again in UTF-8 mode if the locale has another encoding.

    Python decodes the arguments before any code runs, so that the mode must be set when it starts.
    """
    command = getattr(sys, "orig_argv", [])
    if (
        sys.getfilesystemencoding() != "utf-8"
        and os.environ.get("PYTHONUTF8") != "1"
        and os.name == "posix"
        and command
    ):
        os.execve(sys.executable, command, os.environ | {"PYTHONUTF8": "1"})


def _set_up_streams() -> None:
    """Makes the standard streams UTF-8, and replaces a closed output with the null device."""
    with contextlib.suppress(OSError):
        # A file opened later would otherwise get the number of a closed stream, and what libraries print.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open while the process runs
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


@contextlib.contextmanager
def _exit_at_closed_output() -> Iterator[None]:
    """Exits with status 141 and no message, as `cat` does, when the reader of the output has closed it."""
    try:
        yield
    except BrokenPipeError as error:
        mode = os.fstat(sys.stdout.fileno()).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            _exit(error, 1)  # another pipe
        # Otherwise Python would fail again at exit, when it flushes the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # 128 + SIGPIPE, which Windows lacks


def run(define: Callable[[], None], main: Callable[[Args], None], resumes: bool = False) -> None:
    """Defines a command's flags, parses them, and runs `main` with their values.

    absl's flags are global. They are defined when the command runs and not at import, so that one process can import
    several commands. The argument of `main` has a value for each flag, by the flag's name. Libraries' warnings are
    shown, their info messages are not. Arguments, file names and the standard streams are UTF-8, whatever the locale.

    Args:
      define: defines the flags.
      main: the command.
      resumes: whether the same command continues its work after an interruption.
    """
    if main.__module__ == "__main__":  # as a command, and not called from other code
        _restart_with_utf8()
        os.environ["MPLBACKEND"] = (
            "agg"  # no command opens a window, and matplotlib refuses names that it does not know
        )
    _set_up_streams()
    known = set(flags.FLAGS)
    define()
    names = set(flags.FLAGS) - known
    logging.set_verbosity(logging.WARNING)

    def interruptible(_: Sequence[str]) -> None:
        try:
            main(Args(**{name: flags.FLAGS[name].value for name in names}))
            sys.stdout.flush()
        except (signals.Interrupted, KeyboardInterrupt) as error:
            signals.exit_interrupted(error, "; run the same command again to continue" if resumes else "")

    with _exit_at_closed_output():
        app.run(interruptible, flags_parser=_parse)
