"""Tokenises a training split once, in parallel, into the folder that data.prepared names.

    python -m experiments.prepare --config=configs/wmt14_en_fr.py [--workers=16]

Downloads the corpus if need be, looks at it as every training does, learns the vocabulary and writes the tokens. It can
be ended at any time: the same command goes on where it was. Of a folder that is whole it says what is there; --verify
reads all of it. Training with the same config then begins without tokenising anything.

Exit status: 0 when the folder is whole, 2 for a mistake in a flag, the config or the folder, 1 when the work failed.
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
from ml_collections import config_flags

from experiments.runtime import cli, leases, progress
from transformer.spec import DataSpec, Spec

if TYPE_CHECKING:
    from transformer.data.corpus import Corpus
    from transformer.data.prepared import Prepared
    from transformer.data.shards import Shards
    from transformer.data.tokenizers.sentencepiece import Tokenizer

_SHARD = 1 << 16  # pairs: some seconds of work, 8 MB
_EXPIRY = 120.0  # seconds without a sign of life after which a process on another host is taken for dead
_PACKAGES = ("numpy", "sentencepiece", "tensorflow-datasets")


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    flags.DEFINE_integer("workers", 0, "processes that tokenise; 0: one a core", lower_bound=0)
    flags.DEFINE_bool("verify", False, "also compare the SHA-256 of a folder that is whole")


def main(args: cli.Args) -> None:
    """Prepares, or says what is there."""
    if not args.config:
        cli.refuse("--config is needed: --config=configs/wmt14_en_fr.py")
    cli.end_on_sigterm()
    with cli.failures(), cli.mistakes():
        data = Spec.from_config(args.config).data
        if not data.prepared:
            raise ValueError("data.prepared is empty: name a folder, --config.data.prepared=prepared/wmt14")
        workers = args.workers or len(os.sched_getaffinity(0))
        prepare(data, workers, args.verify)


def prepare(data: DataSpec, workers: int, verify: bool = False) -> None:
    """Makes the folder `data.prepared` whole, and prints what is in it.

    Args:
      data: the corpus and the settings.
      workers: processes that tokenise.
      verify: compare the SHA-256 of the files if it is whole already.

    Raises:
      ValueError, FileNotFoundError: the corpus or the folder is not as it must be, or another process works there.
      ChildProcessError: a process that tokenises has died.
    """
    from transformer.data import shards
    from transformer.data.corpus import open_corpus
    from transformer.data.prepared import Prepared, made_of

    folder, corpus = Prepared(pathlib.Path(data.prepared)), open_corpus(data)
    with _alone(folder.path):
        made, manifest = made_of(data, corpus, folder), folder.manifest
        folder.check(made)
        # Written anew: files may be the same and have another date.
        folder.write(manifest | {"made_of": made} | ({} if manifest else {"versions": _versions()}))
        if not folder.whole:
            pairs = corpus.lazily(data.train_split, folder.path)
            _make(shards.Shards(folder, pairs, data, _SHARD), corpus, workers)
        elif verify and (name := shards.damage(folder)):
            raise ValueError(f"{folder.path / name} is not what was written (its SHA-256 differs); delete the folder")
    _describe(folder)


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
    """Inside, no other process prepares the folder; raises ValueError when one does."""
    lock = leases.claim(path, "lock", _EXPIRY)
    if lock is None:
        owner = leases.owner(path, "lock", _EXPIRY) or "another process, which has just begun"
        raise ValueError(f"data.prepared: {path} is being prepared by {owner}")
    with lock:
        yield


def _make(shards: "Shards", corpus: "Corpus", workers: int) -> None:
    """Makes a folder whole."""
    from transformer.data import doctor
    from transformer.data.shards import NAMES, fingerprints

    folder, data = shards.folder, shards.spec
    for finding in doctor.at_start(shards.pairs, corpus.split(data.validation_split), data):
        print(finding.headline(), flush=True)
    tokenizer = _tokenizer(shards)
    missing = shards.missing()
    total = len(shards.pairs)
    done = total - sum(len(shards.part(number)) for number in missing)
    if done:
        print(f"{done:,} of {total:,} pairs are tokenised already", flush=True)
    with progress.Work("tokenising", total, "pairs", done) as work:
        for count in _in_processes(shards, tokenizer, missing, min(workers, len(missing))):
            work.advance(count)
    with progress.Work("writing", total * len(NAMES), "rows") as work:
        contents = shards.join(work.advance)
    print("computing fingerprints", flush=True)
    folder.write(folder.manifest | contents | {"fingerprints": fingerprints(folder)})
    shards.clear()


def _tokenizer(shards: "Shards") -> "Tokenizer":
    """The folder's vocabulary, learnt if there is none yet."""
    from transformer.data.tokenizers.sentencepiece import Tokenizer

    folder, data = shards.folder, shards.spec
    if "vocabulary" not in folder.manifest:
        sentences = min(data.vocab_sentences, 2 * len(shards.pairs))
        print(f"learning a vocabulary of {data.vocab_size:,} from {sentences:,} sentences", flush=True)
        tokenizer = Tokenizer.learnt(shards.pairs, data)
        tokenizer.save(folder.tokenizer)
        folder.write(folder.manifest | {"vocabulary": tokenizer.fingerprint})
    return folder.load_tokenizer()


def _in_processes(shards: "Shards", tokenizer: "Tokenizer", numbers: Sequence[int], workers: int) -> Iterator[int]:
    """Makes shards, and yields how many pairs each is made of; raises ChildProcessError when a process dies."""
    if not numbers:
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin, (shards, tokenizer)
    )
    try:
        for future in concurrent.futures.as_completed([pool.submit(_shard, number) for number in numbers]):
            yield future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that tokenises has died, of too little memory perhaps; the same command goes on, and "
            "--workers=N makes do with fewer"
        ) from error
    finally:
        # Those that are at work are not waited for: what they have not finished is not there.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(cancel_futures=True)


_made: "tuple[Shards, Tokenizer]"  # what a process that tokenises works on


def _begin(shards: "Shards", tokenizer: "Tokenizer") -> None:
    """In a process that tokenises: gets ready, and to end with the process that began it."""
    global _made
    _made = (shards, tokenizer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the first process ends the others
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _shard(number: int) -> int:
    """In such a process."""
    shards, tokenizer = _made
    return shards.make(number, tokenizer)


def _describe(folder: "Prepared") -> None:
    """Prints what is in a folder that is whole."""
    manifest = folder.manifest
    tokens = ", ".join(f"{count:,} {code}" for code, count in manifest["tokens"].items())
    size = sum(known["bytes"] for known in manifest["files"].values()) / 2**20
    print(
        f"{folder.path}: {manifest['kept']:,} pairs ({manifest['dropped']:,} left out), tokens: {tokens}, "
        f"{size:,.0f} MiB, vocabulary {manifest['made_of']['vocab_size']:,}; for both directions"
    )


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


if __name__ == "__main__":
    cli.run(define, main)
