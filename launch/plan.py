"""Compiles a config's training step and beam search for a TPU slice, on a machine without a TPU.

    python -m launch.plan --config=configs/wmt14_en_fr.py:big --topology=v5e:4x4

Prints the memory that each chip needs, FLOPs, traffic to HBM and between chips, the least time of a step and of the
complete training, and estimates for other slices. The last line is a JSON object. Reads no corpus. Needs the extra
`tpu`. Topologies: v2:2x2, v3:4x4, v4:2x2x1, v5e:4x4, v5p:2x2x2, v6e:2x4, tpu7x:2x2x1 and so on.

Exit status: 0 if it fits, 1 if a chip has too little memory, 2 for an error in the flags or the config.
"""

import json
import sys
from typing import Any

from absl import flags

from experiments.runtime import cli, config_files
from launch.planner import libtpu
from launch.planner.topology import Topology
from transformer.spec import Spec


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config of the run")
    flags.DEFINE_string(
        "topology", None, "v2, v3, v4, v5e, v5p, v6e or tpu7x, and the number of chips along each axis: v5e:4x4"
    )
    flags.DEFINE_integer("width", None, "tokens per sentence; default: data.max_length", lower_bound=1)
    flags.DEFINE_bool("decode", True, "also compile the search")


def main(args: cli.Args) -> None:
    """Compiles, prints the plan, and exits with its status."""
    if not args.config or not args.topology:
        example = "--config=configs/wmt14_en_fr.py:big --topology=v5e:4x4"
        cli.exit_with_error(f"--config and --topology are needed: {example}")
    with cli.runtime_errors(), cli.user_errors():
        spec, topology = Spec.from_config(args.config), Topology.parse(args.topology)
        width = args.width or spec.data.max_length
        if width > spec.data.max_length:
            raise ValueError(f"--width: {width} is more than data.max_length={spec.data.max_length}")
        result = plan(spec, topology, width, args.decode)
    print(json.dumps(result))
    sys.exit(0 if result["fits"] else 1)


def plan(spec: Spec, topology: Topology, width: int, decode: bool = True) -> dict[str, Any]:
    """Plans a run on a slice, prints the plan, and returns it as a JSON-serialisable dict.

    Both sides of the training batch have `width` tokens per sentence. `decode` also compiles the search.

    Raises:
      ValueError: libtpu is not installed, or the settings are inconsistent or do not suit the slice.
    """
    libtpu.prepare()
    from experiments.runtime import xla_env

    xla_env.prepare(0)
    from launch.planner import aot
    from launch.planner.report import PlanReport

    system = aot.abstract_system(spec, libtpu.devices(topology))
    shape = aot.training_batch_shape(spec, width)
    report = PlanReport(system, topology, shape)
    report.print_header()
    try:
        report.add_training(aot.compile_training_step(system, shape))
        if decode:
            report.add_search(aot.compile_search(system, width))
    except aot.OutOfMemoryError as error:
        report.add_out_of_memory(str(error))
    return report.result


if __name__ == "__main__":
    cli.run(define, main)
