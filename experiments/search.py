"""Looks for good settings: draws them from a space, trains, and draws better ones; needs the extra `search` (Optuna).

    python -m experiments.search --config=configs/quickstart.py --space=configs/search_spaces/optimization.py --trials=20 \
        --workdir=runs/search

Trials are judged by what validation says last; no test split is opened. One whose best is worse than the median of what
finished trials said at the same update is given up, from the fifth trial on. The same command again goes on where it
was cut off; started several times, also on several hosts with a common folder, each process works on trials of its own.
The study is a SQLite file in the folder; hosts that share a network file system want --storage=journal, others a
database's URL.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from experiments.sweeps.cells import changed
from experiments.sweeps.optuna_study import DIRECTIONS, begin
from experiments.sweeps.trials import Search


def define() -> None:
    """Defines the flags."""
    text = flags.DEFINE_string
    config_flags.DEFINE_config_file("config", None, "the base; a file of configs/, FILE or FILE:ARGUMENT")
    text("space", None, "what may differ; a file of configs/search_spaces")
    text("workdir", None, "folder of the search, made if it does not exist")
    flags.DEFINE_integer("trials", 20, "how many there are to be in all", lower_bound=1)
    flags.DEFINE_enum("metric", "bleu", list(DIRECTIONS), "what validation says that counts")
    flags.DEFINE_bool("prune", True, "give up trials that are hopeless")
    text("storage", "sqlite", "sqlite or journal, a file in the folder; or a database's URL")
    flags.DEFINE_float("claim_expiry", 120.0, "seconds after which a silent process is taken for dead", 5.0)


def main(args: cli.Args) -> None:
    """Works on trials until there are as many as were asked for."""
    if not args.config or not args.space or not args.workdir:
        cli.refuse("--config, --space and --workdir are needed")
    try:
        import optuna
    except ModuleNotFoundError:
        cli.refuse("experiments.search needs Optuna: pip install -e '.[search]'")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = pathlib.Path(args.workdir)
    with cli.mistakes():
        base = args.config.to_dict()
        suggest = cli.module_of("--space", args.space, "suggest").suggest
        spec = changed(base, "--config", {})  # the base itself must make sense
        if args.metric == "bleu" and spec.evaluate.sentences == 0:
            raise ValueError("--metric=bleu: evaluate.sentences=0 translates nothing; use --metric=loss")
        place = begin(folder, base, args.metric, args.storage, args.prune)
    cli.end_on_sigterm()
    search = Search(place, base, suggest, args.trials, args.claim_expiry)
    search.work()
    search.tell()


if __name__ == "__main__":
    cli.run(define, main)
