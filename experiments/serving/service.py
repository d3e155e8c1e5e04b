"""Between requests and the engine: texts become jobs of one part each, and what is found becomes an answer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.runs.long_lines import longest
from experiments.serving import schema
from experiments.serving.engine import Call, Done, Engine, Failed, Job, Partial
from experiments.serving.programs import Programs, Row, Settings
from transformer.analysis import subwords
from transformer.analysis.forced_decoding import Reading
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding import sentence_split
from transformer.decoding.translate import EMPTY, Translation
from transformer.spec import EOS


class Refused(Exception):  # noqa: N818
    """A request that makes no sense; says why."""


class Lost(Exception):  # noqa: N818
    """A request that could not be answered through no fault of its own."""


class _Text(NamedTuple):
    """A text as its parts, each with its line's number; and what to say of lines that were divided."""

    parts: list[tuple[int, str, list[int]]]
    warnings: list[str]


class Service:
    """Answers requests about one run.

    Args:
      name: of the run.
      programs: its programs.
      engine: computes with them.
    """

    def __init__(self, name: str, programs: Programs, engine: Engine, places: int) -> None:
        self.name, self._programs, self._engine, self._places = name, programs, engine, places
        self._spec, self._tokenizer = programs.spec, programs.tokenizer
        self._limit = longest(self._spec)
        self.beam_size = min(self._spec.decode.beam_size, schema.BEAMS)

    @property
    def direction(self) -> str:
        """As in "fr-en"."""
        return self._spec.data.direction

    def health(self) -> schema.Health:
        """How the server is."""
        return schema.Health(
            status="preparing" if self._engine.preparing else "ok",
            run=self.name,
            direction=self.direction,
            beam_size=self.beam_size,
            waiting=self._engine.waiting,
            places=self._places,
            max_tokens=self._limit,
            max_characters=schema.CHARACTERS,
        )

    async def translate(self, asked: schema.Asked) -> schema.Translated:
        """The whole answer; raises Refused, Lost, BusyError."""
        async with contextlib.aclosing(self.events(asked, live=False)) as events:
            async for event in events:
                if isinstance(event, schema.Translated):
                    return event
        raise Lost("no answer")

    async def events(self, asked: schema.Asked, live: bool = True) -> AsyncGenerator[Any]:
        """(part, what leads now) as it changes, (part, its `schema.Part`) when it is done, and last `Translated`."""
        text, row = self._divided(asked.text), self._row(asked)
        found: dict[int, list[Translation]] = {
            place: [EMPTY] for place, (_, _, ids) in enumerate(text.parts) if not ids
        }
        told: asyncio.Queue[tuple[int, Partial | Done | Failed]] = asyncio.Queue()
        jobs = [
            Job(row(ids), asked.n_best, live, _teller(told, place))
            for place, (_, _, ids) in enumerate(text.parts)
            if ids
        ]
        self._engine.submit(jobs)
        try:
            while len(found) < len(text.parts):
                place, event = await told.get()
                if isinstance(event, Partial):
                    yield place, event.text
                    continue
                found[place] = _result(event)
                yield place, _part(text, place, found[place])
        finally:
            for job in jobs:
                job.cancelled = True
        yield _translated(text, found)

    async def look(self, pair: schema.Pair) -> schema.Looks:
        """How the model reads a pair; raises Refused, Lost, BusyError."""
        divided = self._divided(pair.text).parts
        if len(divided) != 1 or not divided[0][2]:
            raise Refused(f"text: one line of 1 to {self._limit} tokens is needed")
        if pair.tokens is not None and pair.target is not None:
            raise Refused("tokens, target: give one of them")
        source = divided[0][2]
        if pair.tokens is not None:
            target = self._checked(pair.tokens)
        elif pair.target is not None:
            target = self._checked(self._tokenizer.of_target.encode(pair.target))
        else:
            target = (await self.translate(schema.Asked(text=pair.text))).parts[0].translations[0].tokens
        told: asyncio.Queue[tuple[int, Partial | Done | Failed]] = asyncio.Queue()
        self._engine.submit([Call(lambda: self._programs.read(source, target), _teller(told, 0))])
        reading = _result((await told.get())[1])
        return _looks(reading, [*source, EOS], target, self._tokenizer)

    def _checked(self, tokens: Sequence[int]) -> list[int]:
        """A target's ids, with EOS at their end."""
        ids = list(tokens[:-1]) if tokens and tokens[-1] == EOS else list(tokens)
        most = self._limit + self._spec.decode.max_extra_length
        if not 0 < len(ids) <= most:
            raise Refused(f"the translation has {len(ids)} tokens, not 1 to {most}")
        if wrong := [each for each in ids if not EOS < each < self._tokenizer.vocab_size]:
            raise Refused(f"tokens: {wrong[0]} is not in [{EOS + 1}, {self._tokenizer.vocab_size})")
        return [*ids, EOS]

    def _row(self, asked: schema.Asked) -> Callable[[list[int]], Row]:
        decode, size = self._spec.decode, asked.beam_size or self.beam_size
        if asked.n_best > (size if asked.method == "beam" else 1):
            kept = f"beam_size={size}" if asked.method == "beam" else "the one that sampling gives"
            raise Refused(f"n_best: {asked.n_best} is more than {kept}")
        penalty = decode.length_penalty if asked.length_penalty is None else asked.length_penalty
        settings = Settings(asked.method, size, penalty, asked.temperature, asked.top_p)
        return lambda ids: Row(ids, settings, asked.seed)

    def _divided(self, text: str) -> _Text:
        found, warnings = [], []
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
            try:
                divided = sentence_split.parts(line, self._limit, lambda part: len(self._tokenizer.encode(part)))
            except ValueError as error:
                raise Refused(f"text: {error}") from None
            if len(divided) > 1:
                warnings.append(
                    f"line {number + 1} is longer than the {self._limit} tokens that the model was trained on: "
                    f"it is translated in {len(divided)} parts"
                )
            found += [(number, part, self._tokenizer.encode(part) if part.strip() else []) for part in divided]
        if len(found) > schema.PARTS:
            raise Refused(f"text: {len(found)} lines, or parts of long ones, are more than {schema.PARTS}")
        return _Text(found, warnings)


def _teller(told: asyncio.Queue[Any], place: int) -> Callable[[Any], None]:
    """What the engine's thread calls: puts an event into a queue of this thread's loop."""
    loop = asyncio.get_running_loop()

    def tell(event: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who asked
            loop.call_soon_threadsafe(told.put_nowait, (place, event))

    return tell


def _result(event: Partial | Done | Failed) -> Any:
    if isinstance(event, Done):
        return event.result
    raise Lost(event.message if isinstance(event, Failed) else "no result")


def _part(text: _Text, place: int, found: Sequence[Translation]) -> schema.Part:
    line, source, _ = text.parts[place]
    hypotheses = [schema.Hypothesis(text=each.text, score=each.score, tokens=list(each.tokens)) for each in found]
    return schema.Part(line=line, source=source, translations=hypotheses)


def _translated(text: _Text, found: dict[int, list[Translation]]) -> schema.Translated:
    lines: dict[int, list[list[Translation]]] = {}
    for place, (line, _, _) in enumerate(text.parts):
        lines.setdefault(line, []).append(found[place])
    whole = [sentence_split.joined(each) for each in lines.values()]
    best = []
    for rank in range(max(map(len, whole))):
        chosen = [each[min(rank, len(each) - 1)] for each in whole]
        best.append(
            schema.Translation(text="\n".join(each.text for each in chosen), score=sum(each.score for each in chosen))
        )
    every = [_part(text, place, found[place]) for place in range(len(text.parts))]
    return schema.Translated(text=best[0].text, translations=best, parts=every, warnings=text.warnings)


def _looks(reading: Reading, source: Sequence[int], target: Sequence[int], tokenizer: Tokenizer) -> schema.Looks:
    def plain(pieces: Sequence[str]) -> list[str]:
        return [subwords.text([piece]) for piece in pieces]

    def side(ids: Sequence[int]) -> schema.Side:
        pieces = tokenizer.pieces(ids)
        spans = [(first, end, subwords.text(pieces[first:end])) for first, end in subwords.groups(pieces)]
        return schema.Side(pieces=plain(pieces), words=spans)

    alternatives = [
        [
            schema.Alternative(piece=piece, probability=round(float(p), 4))
            for piece, p in zip(plain(tokenizer.pieces(row)), np.exp(log), strict=True)
        ]
        for row, log in zip(reading.likely, reading.likely_log_probability, strict=True)
    ]
    return schema.Looks(
        source=side(source),
        target=side(target),
        probability=[round(float(each), 4) for each in np.exp(reading.log_probability_T)],
        alternatives=alternatives,
        attention=[
            schema.Attention(name=name, weights=np.round(each.astype(np.float64), 4).tolist())
            for name, each in reading.attention.items()
        ],
    )
