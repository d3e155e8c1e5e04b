"""The queue and the batches of a server, with a search that takes a step when it is told to."""

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from experiments.serving.engine import BusyError, Call, Done, Engine, Failed, Job, Partial
from experiments.serving.programs import Row, Settings
from transformer.spec import EOS

BEAM = Settings("beam", 2, 0.6, 1.0, 1.0)
OTHER = BEAM._replace(beam_size=3)


class Progress(NamedTuple):
    leading_BT: np.ndarray
    done_B: np.ndarray
    found: tuple[np.ndarray, np.ndarray]


class Repeat:
    """Two outputs a text: itself, a token a step, and its first token alone."""

    rows = (1, 3)

    def __init__(self) -> None:
        self.tokenizer: Any = self
        self.batches: list[list[Row]] = []
        self.steps: list[int] = []
        self.may_go, self.began = threading.Semaphore(0), threading.Semaphore(0)

    def group(self, row: Row) -> tuple[Any, ...]:
        return (row.settings,)

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(token) for token in ids if token > EOS)

    def search(self, rows, steps):
        self.batches.append(list(rows))
        self.steps.append(steps)
        self.began.release()
        tokens_BNT = np.zeros((3, 2, 9), np.int32)
        for place, row in enumerate(rows):
            for beam, ids in enumerate((row.ids, row.ids[:1])):
                tokens_BNT[place, beam, : len(ids) + 1] = [*ids, EOS]
        ends_B = (tokens_BNT[:, 0] > EOS).sum(axis=1)
        for step in range(1, 9):
            self.may_go.acquire()
            if rows[0].ids == [ord("!")]:
                raise ArithmeticError
            leading_BT = np.where(np.arange(9)[None] < step, tokens_BNT[:, 0], 0)
            done_B = ends_B <= step
            yield Progress(leading_BT, done_B, (tokens_BNT, np.zeros((3, 2), np.float32)))
            if done_B.all():
                return


@pytest.fixture
def programs():
    return Repeat()


@pytest.fixture
def engine(programs):
    engine = Engine(programs, places=5)
    yield engine
    for _ in range(99):
        programs.may_go.release()
    engine.close()


class Asker:
    """A job and what was told of it."""

    def __init__(self, text: str, settings: Settings = BEAM, live: bool = False, n_best: int = 1) -> None:
        self.told: list[Any] = []
        self.over = threading.Event()
        self.job = Job(Row([ord(each) for each in text], settings), n_best, live, self.tell)

    def tell(self, event: Any) -> None:
        self.told.append(event)
        if not isinstance(event, Partial):
            self.over.set()

    def texts(self) -> list[str]:
        assert self.over.wait(10)
        assert isinstance(self.told[-1], Done)
        return [each.text for each in self.told[-1].result]


def go(programs: Repeat, steps: int) -> None:
    for _ in range(steps):
        programs.may_go.release()


def test_what_waits_together_and_is_of_one_group_is_one_batch_in_order(engine, programs):
    first = Asker("ab")
    engine.submit([first.job])
    programs.began.acquire()
    others = [Asker("c"), Asker("d", OTHER), Asker("e"), Asker("f"), Asker("g")]
    engine.submit([each.job for each in others])
    go(programs, 2 + 1 + 1 + 1)
    assert [each.texts() for each in (first, *others)] == [["ab"], ["c"], ["d"], ["e"], ["f"], ["g"]]
    batches = [["".join(map(chr, row.ids)) for row in batch] for batch in programs.batches]
    assert batches == [["ab"], ["c", "e", "f"], ["d"], ["g"]]


def test_who_watches_sees_it_grow_and_a_short_one_does_not_wait_for_a_long_one(engine, programs):
    short, long = Asker("ab", n_best=2), Asker("abcd", live=True)
    engine.submit([short.job, long.job])
    go(programs, 3)
    assert short.texts() == ["ab", "a"]
    assert not long.over.is_set()
    go(programs, 1)
    assert long.texts() == ["abcd"]
    assert long.told[:-1] == [Partial("a"), Partial("ab"), Partial("abc")]
    assert short.told[:-1] == []
    quiet = Asker("a")
    go(programs, 1)
    engine.submit([quiet.job])
    quiet.texts()
    assert programs.steps[0] < programs.steps[1]  # nobody watches: looked at less often


def test_a_full_queue_takes_all_of_a_request_or_nothing(engine, programs):
    engine.submit([Asker("a").job])
    programs.began.acquire()
    engine.submit([Asker("a").job for _ in range(3)])
    with pytest.raises(BusyError):
        engine.submit([Asker("a").job for _ in range(3)])
    assert engine.waiting == 3
    engine.submit([Asker("a").job for _ in range(2)])


def test_who_has_gone_is_not_computed(engine, programs):
    first, gone, last = Asker("abcd"), Asker("b"), Asker("c")
    engine.submit([first.job])
    programs.began.acquire()
    engine.submit([gone.job, last.job])
    gone.job.cancelled = first.job.cancelled = True
    go(programs, 2)  # the first is given up after a look at it
    assert last.texts() == ["c"]
    assert gone.told == first.told == []


def test_a_failure_is_told_and_the_next_batch_is_served(engine, programs, capsys):
    bad, good = Asker("!"), Asker("a", OTHER)
    engine.submit([bad.job, good.job])
    go(programs, 2)
    assert good.texts() == ["a"]
    assert bad.told == [Failed("ArithmeticError while computing; the server's log has more")]
    assert "ArithmeticError" in capsys.readouterr().err


def test_other_work_and_what_is_done_while_nothing_waits(programs):
    prepared, told = threading.Event(), Asker("")
    engine = Engine(programs, 5, [prepared.set])
    assert prepared.wait(10)
    engine.submit([Call(lambda: 7, told.tell)])
    assert told.over.wait(10)
    assert told.told == [Done(7)]
    assert engine.preparing == 0
    engine.close()
    with pytest.raises(BusyError):
        engine.submit([told.job])


def test_what_still_waits_at_the_end_fails(programs):
    engine = Engine(programs, 5)
    first, second = Asker("a"), Asker("b", OTHER)
    engine.submit([first.job])
    programs.began.acquire()
    engine.submit([second.job])
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not engine._closed:
        pass
    go(programs, 1)
    closing.join()
    assert first.texts() == ["a"]
    assert second.told == [Failed("the server is ending")]
