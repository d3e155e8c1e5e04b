"""Serves a trained model: an HTTP API, and a web page that translates text as it is typed.

    python -m experiments.serve --workdir=runs/quickstart [--port=8000]

Needs the extra `serve`. The server listens only on this machine, unless --host is given. It has no passwords and no
encryption; a proxy must provide them. Simultaneous requests share a batch. A text has at most 2000 characters; a line
that is longer than the sentences of training is translated in parts. After SIGTERM or Ctrl-C, open requests finish.
"""

import dataclasses
import importlib.util
import ipaddress
import pathlib
import socket
import sys
import threading
import urllib.parse
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli
from experiments.runtime.signals import Interrupts

_GRACE = 10  # seconds to finish open requests after a signal


def define() -> None:
    """Defines the flags."""
    integer = flags.DEFINE_integer
    cli.define_workdirs_flag()
    flags.DEFINE_string("host", "127.0.0.1", "address to listen on; 0.0.0.0: every client that can reach this machine")
    integer("port", 8000, "port to listen on; 0: any free port", lower_bound=0, upper_bound=65535)
    integer("batch_size", 16, "texts decoded at a time; in bfloat16 it affects the text, see --dtype", lower_bound=1)
    integer("queue", 256, "texts that may wait; further requests get status 503", lower_bound=1)
    flags.DEFINE_list("allowed_host", [], "names of this server, besides localhost and IP addresses; *: any name")
    cli.define_unknown_flag()
    flags.DEFINE_list("cors", [], "origins of pages that may call the API, such as https://example.org; *: all")
    cli.define_dtype_flag()


def main(args: cli.Args) -> None:
    """Serves until a signal arrives."""
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    if missing := [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]:
        cli.exit_with_error(f"{missing[0]} is not installed: pip install -e '.[serve]'")
    from experiments.runs.workdir import Workdir
    from experiments.runtime import xla_env

    with cli.user_errors():
        _origins(args.cors)
    with Interrupts(_GRACE, "finishing open requests") as interrupts, cli.runtime_errors(), cli.user_errors():
        listener = _listen(args.host, args.port)
        xla_env.prepare_for(Workdir(args.workdir[0]).spec().parallel)
        with listener:
            _serve(args, listener, interrupts)


def _origins(values: Sequence[str]) -> list[str]:
    """Returns origins as browsers write them; raises ValueError for a value that is no origin."""
    origins = []
    for value in values:
        parts = urllib.parse.urlsplit(value)
        is_origin = parts.scheme and parts.netloc and parts.path in ("", "/") and not (parts.query or parts.fragment)
        if value not in ("*", "null") and not is_origin:
            raise ValueError(f"--cors={value}: no origin; give scheme and host, such as https://example.org, or *")
        origins.append(value.lower().rstrip("/"))
    return origins


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; created before the model is loaded, so that a port in use is reported at once."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener:
            listener.close()
        raise ValueError(f"--host={host} --port={port}: {error.strerror}; choose another, or --port=0") from None
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        warning = "every client that can reach this machine can translate; there is no password"
        print(f"warning: --host={host}: {warning}", file=sys.stderr)
    return listener


def _serve(args: cli.Args, listener: socket.socket, interrupts: Interrupts) -> None:
    import uvicorn

    from experiments.runs import loading
    from experiments.runs.evaluation_memory import check_search
    from experiments.serving.api import create_app
    from experiments.serving.connections import LimitedProtocol
    from experiments.serving.engine import Engine
    from experiments.serving.examples import choose_examples
    from experiments.serving.programs import Programs
    from experiments.serving.service import Service

    trained = loading.load(args.workdir, args.dtype)
    check_search(trained.system, dataclasses.replace(trained.system.spec.decode, batch_size=args.batch_size))
    programs = Programs(trained, args.batch_size, args.unknown)
    engine = Engine(programs, args.queue, programs.warmup())
    name = ", ".join(pathlib.Path(path).resolve().name for path in args.workdir)
    service = Service(name, programs, engine, args.queue, choose_examples(programs.spec.data))
    # Half of the files that this process may open, at most: an open connection is a file.
    LimitedProtocol.max_connections = min(4 * args.queue + 16, _open_file_limit() // 2)
    try:
        config = uvicorn.Config(
            create_app(service, [*args.allowed_host, args.host], 2 * args.queue + 16, _origins(args.cors)),
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE // 2,
        )
        with interrupts.deferred():
            _run(uvicorn.Server(config), interrupts, listener)
    finally:
        engine.close()
    interrupts.check()
    raise OSError("the server has stopped unexpectedly")


def _open_file_limit() -> int:
    try:
        import resource  # not on Windows
    except ImportError:
        return 1024
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft > 0 else 1 << 16


def _run(server: Any, interrupts: Interrupts, listener: socket.socket) -> None:
    """Runs the server until a signal arrives; in a thread, so that uvicorn does not install its own signal handlers."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    announced = False
    while thread.is_alive() and not interrupts.requested:
        thread.join(0.1)
        if server.started and not announced:
            host, port, *_ = listener.getsockname()
            print(f"http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
            announced = True
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    cli.run(define, main)
