"""The code needs no module and no function that only POSIX systems have."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("transformer", "configs", "experiments", "launch")
MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
NAMES = {
    "os": (
        "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getuid", "killpg", "mkfifo",
        "nice", "openpty", "sched_getaffinity", "sched_setaffinity", "setpgid", "setsid", "setuid", "statvfs",
        "sysconf", "uname", "wait", "waitid", "WEXITSTATUS", "WIFEXITED", "WIFSIGNALED", "WNOHANG", "WTERMSIG",
        "O_DIRECTORY", "O_NOFOLLOW",
    ),
    "signal": (
        "alarm", "pause", "setitimer", "sigwait", "pthread_kill", "pthread_sigmask", "SIGALRM", "SIGCHLD", "SIGCONT",
        "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGXFSZ",
    ),
}  # fmt: skip
# Files that use a name after checking the system, by other means than `hasattr`.
CHECKED = {
    "experiments/runtime/xla_env.py": {"os.sysconf"},  # only on Linux
    "experiments/sweeps/workers.py": {"os.sched_setaffinity"},  # only if there is `sched_getaffinity`
    "experiments/benchmark/accelerator.py": {"os.killpg", "signal.SIGKILL"},  # of machines with GPUs or TPUs, on Linux
    "experiments/benchmark/turns.py": {"signal.SIGKILL"},  # only on POSIX is a status negative
    # The program that it measures is built on Linux.
    "experiments/benchmark/peers/marian_toolkit.py": {
        "os.sched_getaffinity", "signal.SIGCONT", "signal.SIGKILL", "signal.SIGSTOP",
    },
}  # fmt: skip

IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys
packages, missing, names = {packages!r}, {missing!r}, {names!r}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in missing:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

# Libraries that are imported already have chosen their code by the system that they found.
import absl.app, filelock, grain, jax, matplotlib.pyplot, optax, orbax.checkpoint, platformdirs, tensorflow_datasets
from flax import nnx
import transformer
modules = [
    module.name
    for package in packages
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{{package}}.")
]
for name in [name for name in sys.modules if name.split(".")[0] in packages and name not in packages]:
    del sys.modules[name]
for name in missing:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
import os, signal
for owner, attributes in ((os, names["os"]), (signal, names["signal"])):
    for attribute in attributes:
        vars(owner).pop(attribute, None)
count = 0
for name in modules:
    try:
        importlib.import_module(name)
        count += 1
    except ModuleNotFoundError as error:  # a package of an extra
        if error.name is None or error.name in missing or error.name.split(".")[0] in packages:
            raise
        print(name, error, file=sys.stderr)
print(count, len(modules))
"""


def problems(path: str, source: str) -> list[str]:
    """Returns imports of POSIX modules that run when the file is imported, and uses of POSIX names without a check."""
    tree = ast.parse(source)

    def imported(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child
            elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Try):
                yield from imported(child)

    found = []
    for node in imported(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        found += [f"{path}:{node.lineno}: import of {name}" for name in names if name in MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, name = node.value.id, node.attr
            checked = f'hasattr({owner}, "{name}")' in source or f"{owner}.{name}" in CHECKED.get(path, ())
            if name in NAMES.get(owner, ()) and not checked:
                found.append(f"{path}:{node.lineno}: {owner}.{name}")
    return found


def test_no_file_needs_a_posix_system() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = [line for path in files for line in problems(str(path.relative_to(ROOT)), path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    ["import fcntl", "from resource import getrlimit", "class A:\n    import pwd", "def f():\n    os.fork()"],
)
def test_a_posix_name_is_found(source: str) -> None:
    assert len(problems("a.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    ["def f():\n    import fcntl", "try:\n    import pwd\nexcept ImportError:\n    pass", "os.kill(1, signal.SIGTERM)"],
)
def test_a_portable_name_is_no_problem(source: str) -> None:
    assert problems("a.py", source) == []


@pytest.mark.slow
def test_every_module_is_imported_without_posix_modules() -> None:
    code = IMPORT_ALL.format(packages=PACKAGES, missing=MODULES, names=NAMES)
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    imported, total = map(int, process.stdout.split())
    assert total > 100
    assert imported > 0.9 * total, process.stderr
