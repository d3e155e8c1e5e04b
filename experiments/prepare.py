"""Tokenises a training split in parallel, into the folder `data.prepared`.

    python -m experiments.prepare --config=configs/wmt14_en_fr.py [--workers=16]

Downloads the corpus if necessary, checks it as training does, trains the vocabulary and writes the tokens. Training
with the same config then starts without tokenising. The same command continues after an interruption; for a complete
folder it prints the content, and --verify compares the SHA-256 of all files.

Exit status: 0 if the folder is complete, 2 for an error in a flag, the config or the folder, 1 if the work failed.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from typing import TYPE_CHECKING

from absl import flags

from experiments.runtime import cli, config_files, leases, progress, xla_env
from transformer.byte_size import format_bytes
from transformer.spec import DataSpec, Spec

if TYPE_CHECKING:
    from transformer.data.corpus import Corpus
    from transformer.data.prepared import PreparedFolder
    from transformer.data.shards import Shards
    from transformer.data.tokenizers.sentencepiece import Tokenizer

_SHARD = 1 << 16  # pairs per shard: some seconds of work, 8 MB
_EXPIRY = 120.0  # of the lease on the folder, seconds
_PACKAGES = ("numpy", "sentencepiece", "tensorflow-datasets")


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config file")
    flags.DEFINE_integer("workers", 0, "processes that tokenise; 0: one per core", lower_bound=0)
    flags.DEFINE_bool("verify", False, "compare the SHA-256 of the files of a complete folder")


def main(args: cli.Args) -> None:
    """Prepares the folder, or prints its content."""
    if not args.config:
        cli.exit_with_error("--config is needed: --config=configs/wmt14_en_fr.py")
    cli.exit_on_sigterm()
    with cli.runtime_errors(), cli.user_errors():
        data = Spec.from_config(args.config).data
        if not data.prepared:
            raise ValueError("data.prepared is empty: name a folder, --config.data.prepared=prepared/wmt14")
        workers = args.workers or xla_env.core_count()
        prepare(data, workers, args.verify)


def prepare(data: DataSpec, workers: int, verify: bool = False) -> None:
    """Completes the folder `data.prepared`, and prints its content. `workers` is the number of processes that tokenise.

    If the folder is complete already, `verify` compares the SHA-256 of its files.

    Raises:
      ValueError, FileNotFoundError: the corpus or the folder is invalid, or another process prepares the folder.
      ChildProcessError: a process that tokenises has died.
    """
    from transformer.data import shards
    from transformer.data.corpus import open_corpus
    from transformer.data.prepared import PreparedFolder, provenance

    folder, corpus = PreparedFolder(pathlib.Path(data.prepared)), open_corpus(data)
    with _locked(folder.path):
        made_of, manifest = provenance(data, corpus, folder), folder.manifest
        folder.check(made_of)
        # Written again, because equal files may have another date.
        folder.write(manifest | {"made_of": made_of} | ({} if manifest else {"versions": _versions()}))
        if not folder.complete:
            pairs = corpus.lazy_split(data.train_split, folder.path)
            _make(shards.Shards(folder, pairs, data, _SHARD), corpus, workers)
        elif verify and (name := shards.first_damaged_file(folder)):
            raise ValueError(
                f"{folder.path / name} has changed since it was written (its SHA-256 differs); delete the folder"
            )
    _describe(folder)


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Prevents other processes from preparing the folder; raises ValueError if one does."""
    lease = leases.acquire(path, "lock", _EXPIRY)
    if lease is None:
        holder = leases.holder(path, "lock", _EXPIRY) or "another process, which has just started"
        raise ValueError(f"data.prepared: {path} is being prepared by {holder}")
    with lease:
        yield


def _make(shards: "Shards", corpus: "Corpus", workers: int) -> None:
    """Tokenises what is missing, and merges the shards."""
    from transformer.data import doctor
    from transformer.data.pairs import too_few_pairs

    folder, data = shards.folder, shards.spec
    for finding in doctor.check_at_start(shards.pairs, corpus.split(data.validation_split), data):
        print(finding.headline(), flush=True)
    missing, total = shards.missing(), len(shards.pairs)
    for warning in too_few_pairs(data, total):
        print(warning, flush=True)
    tokenizer = _tokenizer(shards)
    done = total - sum(len(shards.pair_range(number)) for number in missing)
    if done:
        print(f"{done:,} of {total:,} pairs were tokenised before", flush=True)
    with progress.ProgressBar("tokenising", total, "pairs", done) as bar:
        for count in _in_processes(shards, tokenizer, missing, min(workers, len(missing))):
            bar.advance(count)
    with progress.ProgressBar("writing", total * len(shards.array_names), "rows") as bar:
        contents = shards.merge(bar.advance)
    print("computing fingerprints", flush=True)
    folder.write(folder.manifest | contents | {"fingerprints": shards.fingerprints()})
    shards.delete()


def _tokenizer(shards: "Shards") -> "Tokenizer":
    """Returns the folder's tokenizer; trains it if there is none yet."""
    from transformer.data.tokenizers.sentencepiece import Tokenizer

    folder, data = shards.folder, shards.spec
    if "vocabulary" not in folder.manifest:
        sentences = min(data.vocab_sentences, 2 * len(shards.pairs))
        print(f"training a vocabulary of {data.vocab_size:,} from {sentences:,} sentences", flush=True)
        tokenizer = Tokenizer.train(shards.pairs, data)
        tokenizer.save(folder.tokenizer)
        folder.write(folder.manifest | {"vocabulary": tokenizer.fingerprint})
    return folder.load_tokenizer()


def _in_processes(shards: "Shards", tokenizer: "Tokenizer", numbers: Sequence[int], workers: int) -> Iterator[int]:
    """Builds shards in processes; yields the number of pairs of each. Raises ChildProcessError if a process dies."""
    if not numbers:
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _init_worker, (shards, tokenizer)
    )
    try:
        for future in concurrent.futures.as_completed([pool.submit(_build_shard, number) for number in numbers]):
            yield future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that tokenises has died, perhaps because memory ran out; run the same command again, with fewer "
            "processes if necessary: --workers=N"
        ) from error
    finally:
        # Running processes are not awaited: an unfinished shard does not exist.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(cancel_futures=True)


_worker_state: "tuple[Shards, Tokenizer]"  # in a process that tokenises


def _init_worker(shards: "Shards", tokenizer: "Tokenizer") -> None:
    """Initialises a process that tokenises, and makes it exit when its parent exits."""
    global _worker_state
    _worker_state = (shards, tokenizer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the parent stops the others
    parent = multiprocessing.parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()


def _build_shard(number: int) -> int:
    """Builds a shard in a process that tokenises; returns its number of pairs."""
    shards, tokenizer = _worker_state
    return shards.build(number, tokenizer)


def _describe(folder: "PreparedFolder") -> None:
    """Prints the content of a complete folder."""
    manifest = folder.manifest
    tokens = ", ".join(f"{count:,} {code}" for code, count in manifest["tokens"].items())
    size = sum(file["bytes"] for file in manifest["files"].values())
    print(
        f"{folder.path}: {manifest['kept']:,} pairs ({manifest['dropped']:,} left out), tokens: {tokens}, "
        f"{format_bytes(size)}, vocabulary {manifest['made_of']['vocab_size']:,}; for both directions"
    )


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


if __name__ == "__main__":
    cli.run(define, main, resumes=True)
