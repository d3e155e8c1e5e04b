"""Translates text with a trained model: one line in, one line out, in the same order.

    python -m experiments.translate --workdir=runs/quickstart <in.txt >out.txt

With --n_best=3 each line is followed by its alternatives: three lines out for each line in. Several folders,
--workdir=runs/a,runs/b, translate together, as an ensemble of models with one vocabulary.
"""

import dataclasses
import itertools
import sys
from collections.abc import Iterator
from typing import NamedTuple

from absl import flags

from experiments import command

_CHUNK = 64  # batches read before the first is translated: sorted by length, they pad little


class Flags(NamedTuple):
    """What the command takes; `decode` are settings of the search, by name."""

    workdir: flags.FlagHolder
    n_best: flags.FlagHolder
    decode: dict[str, flags.FlagHolder]


def define() -> Flags:
    """Defines the flags."""
    whole, real = flags.DEFINE_integer, flags.DEFINE_float
    methods = ["beam", "greedy", "sample"]
    return Flags(
        workdir=flags.DEFINE_list("workdir", [], "folder of a run; several, with commas between: their ensemble"),
        n_best=whole("n_best", 1, "translations a line, best first", lower_bound=1),
        decode={
            "method": flags.DEFINE_enum("method", None, methods, "how to search; default: as configured"),
            "beam_size": whole("beam_size", None, "hypotheses kept a sentence; default: as configured"),
            "length_penalty": real("length_penalty", None, "alpha; default: as configured"),
            "batch_size": whole("batch_size", None, "sentences searched at a time; changes the speed, not the text"),
            "temperature": real("temperature", None, "sample: divides the logits"),
            "top_k": whole("top_k", None, "sample: only from the k most probable tokens"),
            "top_p": real("top_p", None, "sample: only from the smallest set of tokens of this probability"),
            "seed": whole("seed", None, "sample: another seed, another sample"),
        },
    )


def main(given: Flags) -> None:
    """Translates stdin."""
    from experiments import devices
    from experiments.workdir import Workdir

    if not given.workdir.value:
        command.refuse("--workdir is needed: the folder of a run")
    n_best = given.n_best.value
    overrides = {name: flag.value for name, flag in given.decode.items() if flag.value is not None}
    with command.mistakes():
        spec = Workdir(given.workdir.value[0]).spec()
        spec = dataclasses.replace(spec, decode=dataclasses.replace(spec.decode, **overrides))
        if spec.decode.method != "beam" and n_best > 1:
            command.refuse(f"--n_best={n_best} needs --method=beam, not {spec.decode.method}")
        if n_best > spec.decode.beam_size:
            command.refuse(f"--n_best={n_best} is more than --beam_size={spec.decode.beam_size}")
        devices.prepare(spec.parallel.cpu_devices)
        from experiments import trained

        system, params, _ = trained.load(given.workdir.value)
    translator = system.translator(params, spec.decode)
    for lines in _chunks(spec.decode.batch_size * _CHUNK):
        for found in translator.translate(lines, n_best):
            for translation in found + [found[-1]] * (n_best - len(found)):
                print(translation.text)
        sys.stdout.flush()


def _chunks(size: int) -> Iterator[list[str]]:
    """Lines of stdin without their ends, `size` at a time. Only a newline ends a line."""
    stdin = sys.stdin.buffer
    for number in itertools.count():
        chunk = list(itertools.islice(stdin, size))
        if not chunk:
            return
        try:
            yield [line.rstrip(b"\n").rstrip(b"\r").decode("utf-8") for line in chunk]
        except UnicodeDecodeError as error:
            command.refuse(
                f"stdin: not UTF-8 in lines {number * size + 1} to {number * size + len(chunk)}: {error.reason}"
            )


if __name__ == "__main__":
    command.run(define, main)
