"""The server's queue and batches, with a fake search that takes a step when the test allows it."""

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from experiments.serving.engine import BusyError, Done, Engine, Failed, FunctionJob, Partial, SearchJob
from experiments.serving.programs import SearchRow, SearchSettings
from transformer.decoding.hypotheses import LOWEST
from transformer.decoding.translate import NOT_FINITE
from transformer.spec import EOS

BEAM = SearchSettings("beam", 2, 0.6, 1.0, 1.0)
OTHER = BEAM._replace(beam_size=3)
NEW = BEAM._replace(beam_size=5)  # not compiled


class Progress(NamedTuple):
    best_so_far_BT: np.ndarray
    done_B: np.ndarray
    result: tuple[np.ndarray, np.ndarray]


class Repeat:
    """Two outputs for each text: the text, one token a step, and its first token."""

    batch_sizes = (1, 3)

    def __init__(self) -> None:
        self.tokenizer: Any = self
        self.batches: list[list[SearchRow]] = []
        self.steps: list[int] = []
        self.allowed, self.started = threading.Semaphore(0), threading.Semaphore(0)
        self.compiled: dict[Any, int] = {(BEAM,): 3, (OTHER,): 3}
        self.may_compile = threading.Event()
        self.may_compile.set()

    def batch_key(self, row: SearchRow) -> tuple[Any, ...]:
        return (row.settings,)

    def rows(self, key: Any) -> int:
        return self.compiled.get(key, 0)

    def compile(self, key: Any, rows: int, permanent: bool = False) -> None:
        assert self.may_compile.wait(10)
        if key == ("broken",):
            raise ArithmeticError
        self.compiled[key] = max(rows, self.rows(key))

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(token) for token in ids if token > EOS)

    def search(self, rows, steps):
        self.batches.append(list(rows))
        self.steps.append(steps)
        self.started.release()
        tokens_BNT, scores_BN = np.zeros((3, 2, 9), np.int32), np.zeros((3, 2), np.float32)
        for index, row in enumerate(rows):
            scores_BN[index] = LOWEST if row.ids == [ord("?")] else 0  # "?": the model's outputs are NaN
            for beam, ids in enumerate((row.ids, row.ids[:1])):
                tokens_BNT[index, beam, : len(ids) + 1] = [*ids, EOS]
        ends_B = (tokens_BNT[:, 0] > EOS).sum(axis=1)
        for step in range(1, 9):
            self.allowed.acquire()
            if rows[0].ids == [ord("!")]:
                raise ArithmeticError
            best_BT = np.where(np.arange(9)[None] < step, tokens_BNT[:, 0], 0)
            done_B = ends_B <= step
            yield Progress(best_BT, done_B, (tokens_BNT, scores_BN))
            if done_B.all():
                return


@pytest.fixture
def programs():
    return Repeat()


@pytest.fixture
def engine(programs):
    engine = Engine(programs, capacity=5)
    yield engine
    for _ in range(99):
        programs.allowed.release()
    engine.close()


class Client:
    """A job and its events."""

    def __init__(
        self, text: str, settings: SearchSettings = BEAM, live: bool = False, n_best: int = 1, client: str = ""
    ) -> None:
        self.events: list[Any] = []
        self.finished = threading.Event()
        row = SearchRow([ord(character) for character in text], settings)
        self.job = SearchJob(row, n_best, live, self.notify, client)

    def submit(self, engine: Engine) -> "Client":
        engine.submit([self.job])
        return self

    def notify(self, event: Any) -> None:
        self.events.append(event)
        if not isinstance(event, Partial):
            self.finished.set()

    def texts(self) -> list[str]:
        assert self.finished.wait(10)
        assert isinstance(self.events[-1], Done)
        return [translation.text for translation in self.events[-1].result]


def allow_steps(programs: Repeat, steps: int) -> None:
    for _ in range(steps):
        programs.allowed.release()


def test_waiting_jobs_of_one_key_form_a_batch_in_order(engine, programs):
    first = Client("ab")
    engine.submit([first.job])
    programs.started.acquire()
    others = [Client("c"), Client("d", OTHER), Client("e"), Client("f"), Client("g")]
    engine.submit([client.job for client in others])
    allow_steps(programs, 2 + 1 + 1 + 1)
    assert [client.texts() for client in (first, *others)] == [["ab"], ["c"], ["d"], ["e"], ["f"], ["g"]]
    batches = [["".join(map(chr, row.ids)) for row in batch] for batch in programs.batches]
    assert batches == [["ab"], ["c", "e", "f"], ["d"], ["g"]]


def test_live_job_reports_progress_and_short_job_finishes_first(engine, programs):
    short, long = Client("ab", n_best=2), Client("abcd", live=True)
    engine.submit([short.job, long.job])
    allow_steps(programs, 3)
    assert short.texts() == ["ab", "a"]
    assert not long.finished.is_set()
    allow_steps(programs, 1)
    assert long.texts() == ["abcd"]
    assert long.events[:-1] == [Partial("a"), Partial("ab"), Partial("abc")]
    assert short.events[:-1] == []
    quiet = Client("a")
    allow_steps(programs, 1)
    engine.submit([quiet.job])
    quiet.texts()
    assert programs.steps[0] < programs.steps[1]  # no live job: fewer reports


def test_full_queue_takes_all_jobs_of_a_request_or_none(engine, programs):
    engine.submit([Client("a").job])
    programs.started.acquire()
    engine.submit([Client("a").job for _ in range(3)])
    with pytest.raises(BusyError):
        engine.submit([Client("a").job for _ in range(3)])
    assert engine.waiting == 3
    engine.submit([Client("a").job for _ in range(2)])


def test_cancelled_jobs_are_not_computed(engine, programs):
    first, cancelled, last = Client("abcd"), Client("b"), Client("c")
    engine.submit([first.job])
    programs.started.acquire()
    engine.submit([cancelled.job, last.job])
    cancelled.job.cancelled = first.job.cancelled = True
    allow_steps(programs, 2)  # the first stops at its next report
    assert last.texts() == ["c"]
    assert cancelled.events == first.events == []


def test_an_abandoned_function_is_not_computed(engine, programs):
    calls = []
    first, last = Client("a").submit(engine), Client("")
    programs.started.acquire()
    abandoned = FunctionJob((OTHER,), lambda: calls.append(1), first.notify)
    engine.submit([abandoned, FunctionJob((OTHER,), lambda: 7, last.notify)])
    abandoned.cancelled = True
    allow_steps(programs, 1)
    assert last.finished.wait(10)
    assert last.events == [Done(7)]
    assert calls == []


def test_failure_is_reported_and_the_next_batch_runs(engine, programs, capsys):
    bad, good = Client("!"), Client("a", OTHER)
    engine.submit([bad.job, good.job])
    allow_steps(programs, 2)
    assert good.texts() == ["a"]
    assert bad.events == [Failed("ArithmeticError while computing; the server's log has more")]
    assert "ArithmeticError" in capsys.readouterr().err


def test_outputs_that_are_not_finite_are_a_failure_of_one_text(engine, programs):
    first, bad, good = Client("a"), Client("?"), Client("b")
    engine.submit([first.job])
    programs.started.acquire()
    engine.submit([bad.job, good.job])
    allow_steps(programs, 2)
    assert good.texts() == ["b"]
    assert bad.finished.wait(10)
    assert bad.events == [Failed(NOT_FINITE)]


def test_function_job_and_warmup(programs):
    client = Client("")
    engine = Engine(programs, 5, [((NEW,), 3), (("f",), 1)])
    while engine.preparing:
        pass
    assert programs.compiled.items() >= {((NEW,), 3), (("f",), 1)}
    engine.submit([FunctionJob(("f",), lambda: 7, client.notify)])
    assert client.finished.wait(10)
    assert client.events == [Done(7)]
    assert engine.preparing == 0
    engine.close()
    with pytest.raises(BusyError):
        engine.submit([client.job])


def test_jobs_run_while_the_program_of_others_compiles(engine, programs):
    """A text with new settings waits for the compiler; texts with compiled ones do not."""
    allow_steps(programs, 9)
    assert Client("a").submit(engine).texts() == ["a"]
    programs.may_compile.clear()
    new = Client("b", NEW).submit(engine)
    assert Client("c").submit(engine).texts() == ["c"]
    assert not new.events
    programs.may_compile.set()
    assert new.texts() == ["b"]


def test_a_program_that_does_not_compile_fails_its_jobs_only(engine, programs, capsys):
    allow_steps(programs, 9)
    client, broken = Client("a"), Client("")
    engine.submit([FunctionJob(("broken",), lambda: 7, broken.notify)])
    assert client.submit(engine).texts() == ["a"]
    assert broken.finished.wait(10)
    assert broken.events == [Failed("ArithmeticError while compiling; the server's log has more")]
    assert "ArithmeticError" in capsys.readouterr().err


def test_clients_take_turns(engine, programs):
    """One client's texts fill no two batches before another client's text, also if they share no batch."""
    first = Client("a", client="one").submit(engine)
    programs.started.acquire()
    many = [Client(letter, client="one") for letter in "bcde"]
    engine.submit([client.job for client in many])
    single = Client("z", OTHER, client="two").submit(engine)
    allow_steps(programs, 9)
    for client in (first, *many, single):
        client.texts()
    batches = ["".join(chr(row.ids[0]) for row in batch) for batch in programs.batches]
    assert batches[:2] == ["a", "z"]
    assert sorted("".join(batches[2:])) == list("bcde")


def test_a_full_queue_makes_room_for_a_client_with_fewer_texts(engine, programs):
    Client("a", client="one").submit(engine)
    programs.started.acquire()
    many = [Client(letter, client="one") for letter in "bcdef"]
    engine.submit([client.job for client in many])
    with pytest.raises(BusyError):
        Client("g", client="one").submit(engine)
    others = [Client("y", client="two"), Client("z", client="two")]
    engine.submit([client.job for client in others])
    assert [client.events for client in many[3:]] == [[Failed("the server is busy", busy=True)]] * 2
    assert not any(client.events for client in (*many[:3], *others))
    with pytest.raises(BusyError):  # three each would not be fewer
        engine.submit([Client(letter, client="two").job for letter in "uv"])
    allow_steps(programs, 20)
    assert [client.texts() for client in (*others, *many[:3])] == [["y"], ["z"], ["b"], ["c"], ["d"]]


def test_waiting_jobs_fail_at_shutdown(programs):
    engine = Engine(programs, 5)
    first, second = Client("a"), Client("b", OTHER)
    engine.submit([first.job])
    programs.started.acquire()
    engine.submit([second.job])
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not engine._closed:
        pass
    allow_steps(programs, 1)
    closing.join()
    assert first.texts() == ["a"]
    assert second.events == [Failed("the server is shutting down")]
