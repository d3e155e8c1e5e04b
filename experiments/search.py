r"""Searches for good settings with Optuna: draws settings from a space, trains, and learns from the results.

    python -m experiments.search --config=configs/quickstart.py --space=configs/search_spaces/optimization.py \
        --trials=20 --workdir=runs/search

Needs the extra `search`. A trial's value is its last validation metric; the test split is not used. From the fifth
trial on, a trial is pruned if its best value is worse than the median of the finished trials at the same update. The
same command continues an interrupted search. Several processes, also on several hosts with a shared folder, can work on
one search. The study is a SQLite file in the folder; use --storage=journal on a network file system, or a database's
URL.
"""

from absl import flags

from experiments.runs import trackers
from experiments.runtime import cli, config_files
from experiments.sweeps import workers
from experiments.sweeps.cells import apply_changes
from experiments.sweeps.optuna_study import DIRECTIONS, create_or_check
from experiments.sweeps.trials import TrialRunner, run_worker
from transformer import storage


def define() -> None:
    """Defines the flags."""
    text = flags.DEFINE_string
    config_files.define_config_flag("base config file")
    text("space", None, "search space, a Python file with suggest(trial), such as those in configs/search_spaces/")
    text("workdir", None, "folder of the search, created if missing")
    flags.DEFINE_integer("trials", 20, "number of trials in all", lower_bound=1)
    flags.DEFINE_enum("metric", "bleu", list(DIRECTIONS), "validation metric to optimise")
    flags.DEFINE_bool("prune", True, "stop bad trials early")
    text("storage", "sqlite", "sqlite or journal (a file in the folder), or a database's URL")
    flags.DEFINE_integer("workers", 1, "trials that run side by side, each on its own core", lower_bound=1)
    flags.DEFINE_float("claim_expiry", 120.0, "seconds without a sign of life until another process takes over", 5.0)


def main(args: cli.Args) -> None:
    """Runs trials until there are --trials of them."""
    if not args.config or not args.space or not args.workdir:
        cli.exit_with_error("--config, --space and --workdir are needed")
    try:
        import optuna
    except ModuleNotFoundError:
        cli.exit_with_error("experiments.search needs Optuna: pip install -e '.[search]'")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with cli.user_errors():
        folder = storage.path(args.workdir)
        if storage.in_bucket(folder):
            raise ValueError(f"--workdir={folder}: a search keeps its database in its folder, which must be on disk")
        base = args.config.to_dict()
        suggest = config_files.load_module("--space", args.space, "suggest").suggest
        spec = apply_changes(base, "--config", {})  # the base itself must be valid
        trackers.check(spec)
        if args.metric == "bleu" and spec.evaluate.sentences == 0:
            raise ValueError("--metric=bleu: evaluate.sentences=0 turns translation off; use --metric=loss")
        location = create_or_check(folder, base, args.metric, args.storage, args.prune)
    cli.exit_on_sigterm()
    runner = TrialRunner(location, base, suggest, args.trials, args.claim_expiry)
    if args.workers > 1:
        arguments = (location, base, args.space, args.trials, args.claim_expiry)
        workers.run(args.workers, run_worker, arguments, lambda: None)
    runner.run()  # with workers: only trials of workers that died
    runner.write_summary()


if __name__ == "__main__":
    cli.run(define, main, resumes=True)
