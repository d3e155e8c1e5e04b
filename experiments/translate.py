"""Translates text with a trained model: one output line per input line, in the same order.

    python -m experiments.translate --workdir=runs/quickstart <in.txt >out.txt
    python -m experiments.translate --workdir=runs/quickstart

In a pipe, lines are translated as they arrive; in a terminal there is a prompt. A line that is longer than the
sentences of training is translated in parts, with a warning. --n_best=3 prints three translations per line, best first.
Several folders, --workdir=runs/a,runs/b, form an ensemble; their models must have the same vocabulary.
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
from experiments.runtime.line_reader import LineReader
from transformer.spec import MIN_TEMPERATURE

if TYPE_CHECKING:
    from experiments.runs.long_lines import LongLineTranslator

# Flags that override config.decode.
_DECODE = ("method", "beam_size", "length_penalty", "batch_size", "temperature", "top_k", "top_p", "seed")
_CHUNK = 64  # batches that are read before the first is translated; sorted by length, they need little padding


def define() -> None:
    """Defines the flags."""
    integer, number = flags.DEFINE_integer, flags.DEFINE_float
    methods = ["beam", "greedy", "sample"]
    flags.DEFINE_list("workdir", [], "folder of a run; several, separated by commas: an ensemble")
    integer("n_best", 1, "translations per line, best first", lower_bound=1)
    integer("max_length", None, "lines with more tokens are split; default: as in training; 0: never", lower_bound=0)
    cli.define_dtype_flag()
    flags.DEFINE_enum("method", None, methods, "decoding method; default: as configured")
    integer("beam_size", None, "hypotheses per sentence; default: as configured")
    number("length_penalty", None, "exponent alpha of the length penalty; default: as configured")
    integer("batch_size", None, "sentences decoded at a time; affects only the speed, in bfloat16 also the text")
    number("temperature", None, f"sample: the logits are divided by it; at least {MIN_TEMPERATURE}, else use greedy")
    integer("top_k", None, "sample: only among the k most probable tokens")
    number("top_p", None, "sample: only among the most probable tokens that have this probability in total")
    integer("seed", None, "sample: seed of the random numbers")


def main(args: cli.Args) -> None:
    """Translates standard input."""
    from experiments.runs.workdir import Workdir
    from experiments.runtime import xla_env

    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    n_best = args.n_best
    overrides = {name: value for name in _DECODE if (value := vars(args)[name]) is not None}
    with cli.user_errors():
        spec = Workdir(args.workdir[0]).spec()
        spec = dataclasses.replace(spec, decode=dataclasses.replace(spec.decode, **overrides))
        if spec.decode.method != "beam" and n_best > 1:
            cli.exit_with_error(f"--n_best={n_best} needs --method=beam, not {spec.decode.method}")
        if n_best > spec.decode.beam_size:
            cli.exit_with_error(f"--n_best={n_best} is more than --beam_size={spec.decode.beam_size}")
        xla_env.prepare(spec.parallel.cpu_devices)
        from experiments.runs import loading

        system, params, _ = loading.load(args.workdir, args.dtype)
    from experiments.runs.long_lines import LongLineTranslator, max_input_tokens

    interactive, decode = sys.stdin.isatty(), spec.decode
    if interactive and "batch_size" not in overrides:
        decode = dataclasses.replace(decode, batch_size=1)  # larger batches would only contain padding
    limit = max_input_tokens(spec) if args.max_length is None else args.max_length
    translator = LongLineTranslator(system.translator(params, decode), system.tokenizer, limit, _warn)
    with cli.runtime_errors(), cli.user_errors(), _closed_output():
        if interactive:
            _prompt(translator, n_best, spec.data.direction)
            return
        for first, lines in LineReader(sys.stdin.fileno()).chunks(decode.batch_size * _CHUNK):
            _print_translations(translator, lines, n_best, first)


def _print_translations(translator: "LongLineTranslator", lines: Sequence[str], n_best: int, first: int) -> None:
    for translations in translator.translate(lines, n_best, first):
        for translation in translations + [translations[-1]] * (n_best - len(translations)):
            print(translation.text)
    sys.stdout.flush()


def _prompt(translator: "LongLineTranslator", n_best: int, direction: str) -> None:
    """Reads lines from a terminal, and translates each."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # adds arrow keys and a history to `input`
    source, _, target = direction.partition("-")
    print(f"{source} to {target}: type a line and press Enter; Ctrl-D quits", file=sys.stderr)
    number = 0
    while True:
        try:
            line = input(f"{source}> ") if sys.stdout.isatty() else _input(f"{source}> ")
        except EOFError:
            print(file=sys.stderr)
            return
        except UnicodeDecodeError as error:
            _warn(f"the line is not {error.encoding}")
            continue
        number += 1
        _print_translations(translator, [line], n_best, number)


def _input(prompt: str) -> str:
    """Like `input`, but writes the prompt to stderr, because stdout receives the translations."""
    print(prompt, end="", file=sys.stderr, flush=True)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.rstrip("\n")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


@contextlib.contextmanager
def _closed_output() -> Iterator[None]:
    """Exits with status 141 and no message, as `cat` does, when the reader of the output has closed it."""
    try:
        yield
    except BrokenPipeError:
        # Otherwise Python would fail again at exit, when it flushes the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


if __name__ == "__main__":
    cli.run(define, main)
