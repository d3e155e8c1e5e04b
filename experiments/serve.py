"""Serves a trained model: an HTTP API, and a page on which one types a sentence and sees its translation.

    python -m experiments.serve --workdir=runs/quickstart [--port=8000]

Needs the extra `serve`. It listens on this machine alone unless --host says otherwise; there are no passwords and no
encryption, which a proxy in front of it has to provide. Requests that come together share a batch. A text is at most
2000 characters; a line that is longer than what the model was trained on is translated in parts. SIGTERM and Ctrl-C
let the requests at hand finish.
"""

import importlib.util
import ipaddress
import pathlib
import socket
import sys
import threading
from typing import Any

from absl import flags

from experiments.runtime import cli
from experiments.runtime.signals import Interrupts

_GRACE = 10  # seconds for requests at hand, once a signal has come


def define() -> None:
    """Defines the flags."""
    whole = flags.DEFINE_integer
    flags.DEFINE_list("workdir", [], "folder of a run; several, with commas between: their ensemble")
    flags.DEFINE_string("host", "127.0.0.1", "address to listen on; 0.0.0.0: for all who reach this machine")
    whole("port", 8000, "to listen on; 0: any that is free", lower_bound=0, upper_bound=65535)
    whole("batch_size", 16, "texts searched at a time", lower_bound=1)
    whole("queue", 256, "texts that may wait; more are refused with status 503", lower_bound=1)
    cli.define_dtype()


def main(args: cli.Args) -> None:
    """Serves until a signal comes."""
    if not args.workdir:
        cli.refuse("--workdir is needed: the folder of a run")
    if missing := [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]:
        cli.refuse(f"{missing[0]} is not installed: pip install -e '.[serve]'")
    from experiments.runs.workdir import Workdir
    from experiments.runtime import xla_env

    with Interrupts(_GRACE) as interrupts, cli.failures(), cli.mistakes():
        listening = _listen(args.host, args.port)
        xla_env.prepare(Workdir(args.workdir[0]).spec().parallel.cpu_devices)
        with listening:
            _serve(args, listening, interrupts)


def _listen(host: str, port: int) -> socket.socket:
    """A socket of its own, before anything else: a port that is taken is found at once."""
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening:
            listening.close()
        raise ValueError(f"--host={host} --port={port}: {error.strerror}; choose another, or --port=0") from None
    if not ipaddress.ip_address(listening.getsockname()[0]).is_loopback:
        print(f"warning: --host={host}: whoever reaches this machine can translate; no password", file=sys.stderr)
    return listening


def _serve(args: cli.Args, listening: socket.socket, interrupts: Interrupts) -> None:
    import uvicorn

    from experiments.runs import loading
    from experiments.serving.api import application
    from experiments.serving.engine import Engine
    from experiments.serving.programs import Programs
    from experiments.serving.service import Service

    programs = Programs(loading.load(args.workdir, args.dtype), args.batch_size)
    engine = Engine(programs, args.queue, programs.ahead())
    name = ", ".join(pathlib.Path(path).resolve().name for path in args.workdir)
    try:
        config = uvicorn.Config(
            application(Service(name, programs, engine, args.queue)),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=4 * args.queue + 16,
            timeout_graceful_shutdown=_GRACE // 2,
        )
        with interrupts.guarded():
            _run(uvicorn.Server(config), interrupts, listening)
    finally:
        engine.close()
    interrupts.check()
    raise OSError("the server has ended by itself")


def _run(server: Any, interrupts: Interrupts, listening: socket.socket) -> None:
    """Until a signal comes. In a thread of its own uvicorn leaves signals alone; every command handles them alike."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    told = False
    while thread.is_alive() and not interrupts.come:
        thread.join(0.1)
        if server.started and not told:
            host, port, *_ = listening.getsockname()
            print(f"http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
            told = True
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    cli.run(define, main)
