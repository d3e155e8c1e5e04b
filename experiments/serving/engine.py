"""The compute thread: it takes jobs that can share a batch from a bounded queue and reports their progress."""

import collections
import dataclasses
import itertools
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from experiments.serving.programs import SearchRow
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.translate import NOT_FINITE, Decoder, decode_hypotheses

# Decoding steps between two progress reports of a search, with and without a client that streams.
_LIVE_STEPS, _QUIET_STEPS = 2, 16


class Partial(NamedTuple):
    """The best text so far."""

    text: str


class Done(NamedTuple):
    """The result: translations, best first, of a `SearchJob`; the return value of a `FunctionJob`."""

    result: Any


class Failed(NamedTuple):
    """The job failed; `busy`: it lost its place in the queue to another client's."""

    message: str
    busy: bool = False


Notify = Callable[[Partial | Done | Failed], None]  # called in the engine's thread; must not block


class BusyError(Exception):
    """The queue is full."""


@dataclasses.dataclass(eq=False)
class SearchJob:
    """A text to translate. Any thread may set `cancelled`; the job then needs no further events."""

    row: SearchRow
    n_best: int
    live: bool
    notify: Notify
    client: str = ""
    decoder: Decoder | None = None  # of its translations; None: the tokenizer
    cancelled: bool = False


@dataclasses.dataclass(eq=False)
class FunctionJob:
    """Any other computation, which shares no batch; `key` names its program."""

    key: Hashable
    function: Callable[[], Any]
    notify: Notify
    client: str = ""
    cancelled: bool = False


_Job = SearchJob | FunctionJob


class _Programs(Protocol):
    """The part of `programs.Programs` that the engine uses."""

    batch_sizes: tuple[int, ...]
    tokenizer: Tokenizer

    def batch_key(self, row: SearchRow) -> Hashable: ...

    def rows(self, key: Hashable) -> int: ...

    def compile(self, key: Hashable, rows: int, permanent: bool = False) -> None: ...

    def search(self, rows: Sequence[SearchRow], steps: int) -> Iterator[Any]: ...


class Engine:
    """Runs jobs in one thread and compiles programs in another; both start at construction.

    Jobs whose program is not compiled wait for it, and other jobs run meanwhile. Clients take turns: each batch starts
    with the job of the client that waited longest since its last turn. If the queue is full, a client with fewer
    waiting jobs takes the places of the client with most.

    Args:
      capacity: Maximum number of waiting jobs.
      warmup: Programs to compile in order while no job waits for another: keys and rows.
    """

    def __init__(self, programs: _Programs, capacity: int, warmup: Sequence[tuple[Hashable, int]] = ()) -> None:
        self._programs, self._capacity, self._warmup = programs, capacity, deque(warmup)
        self._queue: list[_Job] = []
        self._last_turn: dict[str, int] = {}  # client → number of its last batch
        self._turns = itertools.count(1)
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._run, self._compile)]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[_Job]) -> None:
        """Queues all jobs of one request, or none; raises BusyError if they do not fit."""
        with self._changed:
            self._queue = [job for job in self._queue if not job.cancelled]
            excess = len(self._queue) + len(jobs) - self._capacity
            displaced = self._displaced(jobs[0].client, len(jobs), excess) if excess > 0 else []
            if self._closed:
                raise BusyError
            self._queue = [job for job in self._queue if job not in displaced]
            for job in displaced:
                job.notify(Failed("the server is busy", busy=True))
            self._queue.extend(jobs)
            self._changed.notify_all()

    def _displaced(self, client: str, count: int, excess: int) -> list[_Job]:
        """Returns the newest jobs of the clients with most jobs; raises BusyError if `client` would then have more."""
        waiting = collections.Counter(job.client for job in self._queue)
        waiting[client] += count
        displaced: list[_Job] = []
        for _ in range(excess):
            (largest, most), *_ = waiting.most_common(1)
            if most <= waiting[client]:
                raise BusyError
            waiting[largest] -= 1
            newest = next(job for job in reversed(self._queue) if job.client == largest and job not in displaced)
            displaced.append(newest)
        return displaced

    @property
    def waiting(self) -> int:
        """Number of waiting jobs."""
        return len(self._queue)

    @property
    def preparing(self) -> int:
        """Number of programs of the warm-up that remain."""
        return len(self._warmup)

    def close(self) -> None:
        """Finishes the current batch and program and stops; waiting jobs fail."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._first_ready())
                if self._closed:
                    break
                batch = self._next_batch()
            self._compute(batch)
        for job in self._queue:
            job.notify(Failed("the server is shutting down"))

    def _key(self, job: _Job) -> Hashable:
        return job.key if isinstance(job, FunctionJob) else self._programs.batch_key(job.row)

    def _in_turn(self) -> list[_Job]:
        """Returns the waiting jobs: the first of each client, by its last turn, then the second of each, and so on."""
        ranks: collections.Counter[str] = collections.Counter()
        order = []
        for index, job in enumerate(self._queue):
            if not job.cancelled:
                order.append((ranks[job.client], self._last_turn.get(job.client, 0), index))
                ranks[job.client] += 1
        return [self._queue[index] for *_, index in sorted(order)]

    def _first_ready(self) -> _Job | None:
        return next((job for job in self._in_turn() if self._programs.rows(self._key(job))), None)

    def _next_batch(self) -> list[_Job]:
        """Takes the first ready job and those that share its key, up to a full batch."""
        first = self._first_ready()
        assert first is not None
        key = self._key(first)
        if isinstance(first, FunctionJob):
            batch: list[_Job] = [first]
        else:
            same: list[_Job] = [job for job in self._in_turn() if isinstance(job, SearchJob) and self._key(job) == key]
            batch = [first, *(job for job in same if job is not first)][: self._programs.rows(key)]
        self._queue = [job for job in self._queue if job not in batch and not job.cancelled]
        turn = next(self._turns)
        clients = {job.client for job in self._queue}
        self._last_turn = {client: last for client, last in self._last_turn.items() if client in clients}
        self._last_turn |= {job.client: turn for job in batch}
        return batch

    def _compile(self) -> None:
        """Compiles programs: those that jobs wait for, then larger batches of busy keys, then the warm-up."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next_program())
                if self._closed:
                    return
                key, rows, permanent = cast("tuple[Hashable, int, bool]", self._next_program())
            error = None
            try:
                self._programs.compile(key, rows, permanent)
            except Exception as reason:
                traceback.print_exc(file=sys.stderr)
                error = Failed(f"{type(reason).__name__} while compiling; the server's log has more")
            with self._changed:
                if permanent:
                    self._warmup.popleft()
                if error and not self._programs.rows(key):
                    for job in [job for job in self._queue if self._key(job) == key]:
                        self._queue.remove(job)
                        job.notify(error)
                self._changed.notify_all()

    def _next_program(self) -> tuple[Hashable, int, bool] | None:
        counts = collections.Counter(self._key(job) for job in self._in_turn())
        smallest, largest = self._programs.batch_sizes[0], self._programs.batch_sizes[-1]
        for key in counts:
            if not self._programs.rows(key):
                return key, smallest, False
        if self._warmup:
            return *self._warmup[0], True
        busy = (key for key, count in counts.items() if count > self._programs.rows(key) < largest)
        return next(((key, largest, False) for key in busy), None)

    def _compute(self, batch: Sequence[SearchJob | FunctionJob]) -> None:
        try:
            if isinstance(batch[0], FunctionJob):
                batch[0].notify(Done(batch[0].function()))
            else:
                self._search([job for job in batch if isinstance(job, SearchJob)])
        except Exception as error:
            # Only this batch fails: the server keeps running, and its log has the traceback.
            traceback.print_exc(file=sys.stderr)
            for job in batch:
                job.notify(Failed(f"{type(error).__name__} while computing; the server's log has more"))

    def _search(self, jobs: Sequence[SearchJob]) -> None:
        waiting = dict(enumerate(jobs))
        steps = _LIVE_STEPS if any(job.live for job in jobs) else _QUIET_STEPS
        for progress in self._programs.search([job.row for job in jobs], steps):
            done_B = np.asarray(progress.done_B)
            result, best_BT = progress.result, None
            for index, job in list(waiting.items()):
                if done_B[index]:
                    tokens_NT, scores_N = (np.asarray(array)[index] for array in result[:2])
                    decoder = job.decoder or self._programs.tokenizer
                    hypotheses = decode_hypotheses(tokens_NT, scores_N, decoder, job.n_best)
                    job.notify(Done(hypotheses) if hypotheses else Failed(NOT_FINITE))
                    del waiting[index]
                elif job.live and not job.cancelled:
                    best_BT = np.asarray(progress.best_so_far_BT) if best_BT is None else best_BT
                    job.notify(Partial(self._programs.tokenizer.decode(best_BT[index].tolist())))
            if all(job.cancelled for job in waiting.values()):
                return
