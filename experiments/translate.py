"""Translates text with a trained model: one output line per input line, in the same order.

    python -m experiments.translate --workdir=runs/quickstart <in.txt >out.txt
    python -m experiments.translate --workdir=runs/quickstart

In a pipe, lines are translated as they arrive; in a terminal there is a prompt. A line that is longer than the
sentences of training is translated in parts, with a warning. --n_best=3 prints three translations per line, best first,
each with the number of its line and its score. --prefix="The cat" gives translations that begin with these words.
--score translates nothing, but prints the log-probability and the perplexity of given pairs.
Several folders, --workdir=runs/a,runs/b, form an ensemble; their models must have the same vocabulary.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from experiments.runtime import cli
from experiments.runtime.line_reader import LineReader
from transformer.spec import MIN_TEMPERATURE

if TYPE_CHECKING:
    from experiments.runs.companion_file import CompanionFile
    from experiments.runs.long_lines import LongLineTranslator
    from experiments.runs.pair_scores import PairScorer

_Process = Callable[[Sequence[str], int], Iterable[str]]  # (lines, number of the first) to lines of output
_FILES = ("prefix_file", "target")  # flags of files whose lines belong to those of standard input

# Flags that override config.decode.
_DECODE = ("method", "beam_size", "length_penalty", "batch_size", "temperature", "top_k", "top_p", "seed")
_CHUNK = 64  # batches that are read before the first is translated; sorted by length, they need little padding


def define() -> None:
    """Defines the flags."""
    integer, number = flags.DEFINE_integer, flags.DEFINE_float
    methods = ["beam", "greedy", "sample"]
    cli.define_workdirs_flag()
    integer("n_best", 1, "translations per line, best first; fewer if the search finds fewer", lower_bound=1)
    flags.DEFINE_enum(
        "format",
        None,
        ["text", "tsv", "jsonl"],
        "text: only translations, with empty lines for those that --n_best lacks; tsv: number of the line, "
        "log-probability, translation; jsonl: an object per line. Default: text, with --n_best above 1 tsv",
    )
    text = flags.DEFINE_string
    text("prefix", None, "words with which every translation begins")
    text("prefix_file", None, "file with the words with which the translations of each line begin, plain or compressed")
    flags.DEFINE_bool("score", False, "print log-probability and perplexity of lines of source, tab, translation")
    text(
        "target",
        None,
        "file with the translations to score, line by line, plain or compressed; stdin has only the sources",
    )
    integer("max_length", None, "lines with more tokens are split; default: as in training; 0: never", lower_bound=0)
    cli.define_unknown_flag()
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

    _check_flags(args)
    n_best = args.n_best
    files = _open_files(args)
    overrides = {name: value for name in _DECODE if (value := vars(args)[name]) is not None}
    with cli.user_errors():
        spec = Workdir(args.workdir[0]).spec()
        spec = dataclasses.replace(spec, decode=dataclasses.replace(spec.decode, **overrides))
        if spec.decode.method != "beam" and n_best > 1:
            cli.exit_with_error(f"--n_best={n_best} needs --method=beam, not {spec.decode.method}")
        if n_best > spec.decode.beam_size:
            cli.exit_with_error(f"--n_best={n_best} is more than --beam_size={spec.decode.beam_size}")
        xla_env.prepare_for(spec.parallel)
        from experiments.runs import loading

        system, params, _ = loading.load(args.workdir, args.dtype)
    interactive, decode = sys.stdin.isatty(), spec.decode
    if interactive and "batch_size" not in overrides:
        decode = dataclasses.replace(decode, batch_size=1)  # larger batches would only contain padding
    from experiments.runs.evaluation_memory import check_search

    with cli.runtime_errors():
        check_search(system, decode)
    if args.score:
        from experiments.runs.pair_scores import PairScorer

        process = _scoring(PairScorer(system, params, decode.batch_size, args.max_length, _warn), args, files)
    else:
        translator = system.translator(params, decode, args.max_length, _warn, args.unknown)
        process = _translation(translator, decode.length_penalty, args, files)
    with cli.runtime_errors(), cli.user_errors():
        if interactive and not args.score:
            _prompt(process, spec.data.direction)
            return
        size = 0
        for first, lines in LineReader(sys.stdin.fileno()).chunks(decode.batch_size * _CHUNK):
            _print(process(lines, first))
            size += len(lines)
        for file in files.values():
            file.check_size(size)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
    sys.stdout.flush()


def _check_flags(args: cli.Args) -> None:
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    if sys.stdin is None or sys.__stdout__ is None:
        name = "output" if sys.stdin else "input"
        cli.exit_with_error(f"standard {name} is closed; connect it to a file or a pipe, such as /dev/null")
    args.score = args.score or args.target is not None
    if args.score and (args.n_best > 1 or args.prefix or args.prefix_file):
        cli.exit_with_error("--score and --target translate nothing: they exclude --n_best, --prefix and --prefix_file")
    if args.prefix and args.prefix_file:
        cli.exit_with_error("--prefix and --prefix_file exclude each other")


def _open_files(args: cli.Args) -> dict[str, "CompanionFile"]:
    """Opens the files that flags name, by flag."""
    from experiments.runs.companion_file import CompanionFile

    with cli.user_errors():
        return {name: CompanionFile(f"--{name}", path) for name in _FILES if (path := getattr(args, name))}


def _translation(
    translator: "LongLineTranslator", alpha: float, args: cli.Args, files: Mapping[str, "CompanionFile"]
) -> _Process:
    """Returns the function that translates lines; `alpha` is the exponent of the length penalty."""
    from experiments.runs.output_lines import translation_lines

    n_best = args.n_best
    output_format = args.format or ("text" if n_best == 1 else "tsv")

    def translate(lines: Sequence[str], first: int) -> Iterator[str]:
        file = files.get("prefix_file")
        prefixes = file.take(first, len(lines)) if file else [args.prefix or ""] * len(lines)
        outputs = translator.translate(lines, n_best, first, prefixes)
        for number, (line, translations) in enumerate(zip(lines, outputs, strict=True), first):
            yield from translation_lines(output_format, number, line, translations, n_best, alpha)

    return translate


def _scoring(scorer: "PairScorer", args: cli.Args, files: Mapping[str, "CompanionFile"]) -> _Process:
    """Returns the function that scores pairs."""
    from experiments.runs.companion_file import split_pairs
    from experiments.runs.output_lines import score_line
    from transformer.data.pairs import Pair

    def score(lines: Sequence[str], first: int) -> Iterator[str]:
        if file := files.get("target"):
            pairs, error = list(map(Pair, lines, file.take(first, len(lines)))), None
        else:
            pairs, error = split_pairs(lines, first)
        for number, (pair, pair_score) in enumerate(zip(pairs, scorer.score(pairs, first), strict=True), first):
            yield score_line(args.format or "tsv", number, pair, pair_score)
        if error:
            raise error

    return score


def _prompt(process: _Process, direction: str) -> None:
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
        _print(process([line], number))


def _input(prompt: str) -> str:
    """Like `input`, but writes the prompt to stderr, because stdout receives the translations."""
    print(prompt, end="", file=sys.stderr, flush=True)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.rstrip("\n")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(define, main)
