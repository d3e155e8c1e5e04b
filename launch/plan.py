"""Compiles a config's training step and search for a slice of TPU chips, on a machine that has none.

    python -m launch.plan --config=configs/wmt14_en_fr.py:big --topology=v5e:4x4

Prints the memory that a chip needs of what it has, FLOPs, traffic to memory and between chips, an estimate of the time
of a step and of the whole training, and what other slices would make of it; last, on one line, a JSON object. Reads no
corpus. Needs the extra `tpu`. Slices: v4:2x2x1, v5e:4x4, v5p:2x2x2, v6e:2x4 and so on.

Exit status: 0 if it fits, 1 if a chip has too little memory, 2 for a mistake in the flags or the config.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from launch.planner import libtpu
from launch.planner.topology import Slice
from transformer.spec import Spec

if TYPE_CHECKING:
    from experiments.runs.system import System


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    flags.DEFINE_string("topology", None, "the slice: v4, v5e, v5p or v6e, and its chips along each axis; v5e:4x4")
    flags.DEFINE_integer("width", None, "tokens a sentence; default: data.max_length, the widest", lower_bound=1)
    flags.DEFINE_bool("decode", True, "compile the search, too")


def main(args: cli.Args) -> None:
    """Compiles, prints, and ends with the status."""
    if not args.config or not args.topology:
        cli.refuse("--config and --topology are needed: --config=configs/wmt14_en_fr.py:big --topology=v5e:4x4")
    with cli.failures(), cli.mistakes():
        spec, where = Spec.from_config(args.config), Slice.named(args.topology)
        width = args.width or spec.data.max_length
        if width > spec.data.max_length:
            raise ValueError(f"--width: {width} is more than data.max_length={spec.data.max_length}")
        result = plan(spec, where, width, args.decode)
    print(json.dumps(result))
    sys.exit(0 if result["fits"] else 1)


def plan(spec: Spec, where: Slice, width: int, decode: bool = True) -> dict[str, Any]:
    """Plans `spec` on a slice, and prints it; returns what the JSON object holds.

    Args:
      spec: of the run.
      where: the slice.
      width: tokens of a sentence, on both sides.
      decode: compile the search, too.

    Raises:
      ValueError: no libtpu, or settings that fit no model or no such slice.
    """
    libtpu.prepare()
    from experiments.runtime import xla_env

    xla_env.prepare(0)
    from launch.planner import aot
    from launch.planner.report import Account

    system: System = aot.system(spec, libtpu.devices(where))
    shape = aot.training_shape(spec, width)
    account = Account(system, where, shape)
    account.begin()
    try:
        account.training(aot.training(system, shape))
        if decode:
            account.decoding(aot.decoding(system, width))
    except aot.TooLargeError as error:
        account.too_large(str(error))
    return account.result


if __name__ == "__main__":
    cli.run(define, main)
