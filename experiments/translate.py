"""Translates text with a trained model: one line in, one line out, in the same order.

    python -m experiments.translate --workdir=runs/quickstart <in.txt >out.txt
    python -m experiments.translate --workdir=runs/quickstart

In a pipe a line's translation does not wait for the end of the input; at a terminal, type a line, and see it. A line
that is longer than what the model was trained on is translated in parts, with a warning. With --n_best=3 each line is
followed by its alternatives: three lines out for each line in. Several folders, --workdir=runs/a,runs/b, translate
together, as an ensemble of models with one vocabulary.
"""

import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from absl import flags

from experiments.runtime import cli
from experiments.runtime.line_reader import Incoming

if TYPE_CHECKING:
    from experiments.runs.long_lines import Whole

_DECODE = (
    "method",
    "beam_size",
    "length_penalty",
    "batch_size",
    "temperature",
    "top_k",
    "top_p",
    "seed",
)  # flags that override config.decode
_CHUNK = 64  # batches read before the first is translated: sorted by length, they pad little


def define() -> None:
    """Defines the flags."""
    whole, real = flags.DEFINE_integer, flags.DEFINE_float
    methods = ["beam", "greedy", "sample"]
    flags.DEFINE_list("workdir", [], "folder of a run; several, with commas between: their ensemble")
    whole("n_best", 1, "translations a line, best first", lower_bound=1)
    whole(
        "max_length",
        None,
        "tokens from which on a line is divided; default: data.max_length; 0: never",
        lower_bound=0,
    )
    cli.define_dtype()
    flags.DEFINE_enum("method", None, methods, "how to search; default: as configured")
    whole("beam_size", None, "hypotheses kept a sentence; default: as configured")
    real("length_penalty", None, "alpha; default: as configured")
    whole("batch_size", None, "sentences searched at a time; changes the speed, not the text")
    real("temperature", None, "sample: divides the logits")
    whole("top_k", None, "sample: only from the k most probable tokens")
    real("top_p", None, "sample: only from the smallest set of tokens of this probability")
    whole("seed", None, "sample: another seed, another sample")


def main(args: cli.Args) -> None:
    """Translates stdin."""
    from experiments.runs.workdir import Workdir
    from experiments.runtime import xla_env

    if not args.workdir:
        cli.refuse("--workdir is needed: the folder of a run")
    n_best = args.n_best
    overrides = {name: value for name in _DECODE if (value := vars(args)[name]) is not None}
    with cli.mistakes():
        spec = Workdir(args.workdir[0]).spec()
        spec = dataclasses.replace(spec, decode=dataclasses.replace(spec.decode, **overrides))
        if spec.decode.method != "beam" and n_best > 1:
            cli.refuse(f"--n_best={n_best} needs --method=beam, not {spec.decode.method}")
        if n_best > spec.decode.beam_size:
            cli.refuse(f"--n_best={n_best} is more than --beam_size={spec.decode.beam_size}")
        xla_env.prepare(spec.parallel.cpu_devices)
        from experiments.runs import loading

        system, params, _ = loading.load(args.workdir, args.dtype)
    from experiments.runs.long_lines import Whole, longest

    talks = sys.stdin.isatty()
    decode = spec.decode
    if talks and "batch_size" not in overrides:
        decode = dataclasses.replace(decode, batch_size=1)  # a line at a time: rows of padding would only take time
    limit = args.max_length
    limit = longest(spec) if limit is None else limit
    whole = Whole(system.translator(params, decode), system.tokenizer, limit, _warn)
    with cli.failures(), cli.mistakes(), _reader_may_go():
        if talks:
            _talk(whole, n_best, spec.data.direction)
            return
        for first, lines in Incoming(sys.stdin.fileno()).chunks(decode.batch_size * _CHUNK):
            _show(whole, lines, n_best, first)


def _show(whole: "Whole", lines: Sequence[str], n_best: int, first: int) -> None:
    for found in whole.translate(lines, n_best, first):
        for translation in found + [found[-1]] * (n_best - len(found)):
            print(translation.text)
    sys.stdout.flush()


def _talk(whole: "Whole", n_best: int, direction: str) -> None:
    """Line after line from a terminal."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives `input` arrow keys and a history
    source, _, target = direction.partition("-")
    print(f"{source} to {target}: type a line and Enter; Ctrl-D ends", file=sys.stderr)
    number = 0
    while True:
        try:
            line = input(f"{source}> ") if sys.stdout.isatty() else _asked(f"{source}> ")
        except EOFError:
            print(file=sys.stderr)
            return
        except UnicodeDecodeError as error:
            _warn(f"what was typed is not {error.encoding}")
            continue
        number += 1
        _show(whole, [line], n_best, number)


def _asked(prompt: str) -> str:
    """As `input`, but the prompt does not go to where the translations go."""
    print(prompt, end="", file=sys.stderr, flush=True)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.rstrip("\n")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


@contextlib.contextmanager
def _reader_may_go() -> Iterator[None]:
    """Inside, output that nobody reads any more ends the program as it ends `cat`: without a word, status 141."""
    try:
        yield
    except BrokenPipeError:
        # What is left in the buffer would be written, and fail, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


if __name__ == "__main__":
    cli.run(define, main)
