"""Between requests and the engine: a text becomes one job for each part, and the jobs' results become a response."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.runs.long_lines import max_input_tokens, split_line
from experiments.serving import schema
from experiments.serving.engine import BusyError, Done, Engine, Failed, FunctionJob, Partial, SearchJob
from experiments.serving.examples import Examples
from experiments.serving.programs import FORCED, Programs, SearchRow, SearchSettings
from experiments.web.explanation import explanation_data
from transformer.analysis import subwords
from transformer.analysis.forced_decoding import PairOutputs
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding import sentence_split
from transformer.decoding.translate import EMPTY, Translation
from transformer.spec import EOS, DecodeSpec

_Events = asyncio.Queue[tuple[int, Partial | Done | Failed]]  # index of a part, and an event of its job


class InvalidRequestError(Exception):
    """The request is invalid; the message names the field and the reason."""


class ComputationError(Exception):
    """The request is valid, but computing its response failed."""


class _TextPart(NamedTuple):
    line: int
    text: str
    ids: list[int]  # without EOS; empty for a blank line


class _DividedText(NamedTuple):
    """A text's parts, and warnings about divided lines and unknown characters."""

    parts: list[_TextPart]
    warnings: list[str]


class Service:
    """Answers requests about one run.

    Args:
      name: Name of the run.
      programs: The run's programs.
      engine: Computes with the programs.
      capacity: Size of the engine's queue, reported by `health`.
      examples: Sentences that the translator page offers.
    """

    def __init__(self, name: str, programs: Programs, engine: Engine, capacity: int, examples: Examples) -> None:
        self.name, self._programs, self._engine, self._capacity = name, programs, engine, capacity
        self._spec, self._tokenizer = programs.spec, programs.tokenizer
        self._limit = max_input_tokens(self._spec)
        self.beam_size = min(self._spec.decode.beam_size, schema.MAX_BEAM_SIZE)
        self.examples = examples

    @property
    def direction(self) -> str:
        """Source and target language, as in "fr-en"."""
        return self._spec.data.direction

    @property
    def explains(self) -> bool:
        """Whether the model has measures that explain a token."""
        return bool(self._programs.measures)

    @property
    def decode(self) -> DecodeSpec:
        """The run's decoding settings."""
        return self._spec.decode

    def health(self) -> schema.HealthResponse:
        """Returns the server's state."""
        return schema.HealthResponse(
            status="preparing" if self._engine.preparing else "ok",
            run=self.name,
            direction=self.direction,
            beam_size=self.beam_size,
            waiting=self._engine.waiting,
            places=self._capacity,
            max_tokens=self._limit,
            max_characters=schema.MAX_CHARACTERS,
        )

    async def translate(self, request: schema.TranslationRequest, client: str = "") -> schema.TranslationResponse:
        """Returns the complete response; raises InvalidRequestError, ComputationError or BusyError.

        Args:
          request: The text and its settings.
          client: Who asks; clients take turns.
        """
        async with contextlib.aclosing(self.stream(request, client, live=False)) as events:
            async for event in events:
                if isinstance(event, schema.TranslationResponse):
                    return event
        raise ComputationError("no response")

    async def stream(
        self, request: schema.TranslationRequest, client: str = "", live: bool = True
    ) -> AsyncGenerator[Any]:
        """Yields (part, best text so far) on each change, (part, `TranslatedPart`) when done, then the response."""
        text, row = self._divide(request.text), self._row_factory(request)
        translations: dict[int, list[Translation]] = {}
        events: _Events = asyncio.Queue()
        jobs = []
        unknown_words = self._programs.unknown_words
        for index, part in enumerate(text.parts):
            untranslated = unknown_words.translate(part.text, part.ids)
            if part.ids and untranslated is None:
                decoder, notify = unknown_words.decoder(part.text, part.ids), _notifier(events, index)
                jobs.append(SearchJob(row(part.ids), request.n_best, live, notify, client, decoder))
            else:
                translations[index] = [EMPTY if untranslated is None else Translation(untranslated, 0.0, ())]
        if jobs:
            self._engine.submit(jobs)
        try:
            while len(translations) < len(text.parts):
                index, event = await events.get()
                if isinstance(event, Partial):
                    yield index, event.text
                    continue
                translations[index] = _result(event)
                yield index, _translated_part(text.parts[index], translations[index])
        finally:
            for job in jobs:
                job.cancelled = True
        yield _translation_response(text, translations)

    async def attention(self, request: schema.AttentionRequest, client: str = "") -> schema.AttentionResponse:
        """Returns the attention of a pair; raises InvalidRequestError, ComputationError or BusyError."""
        source, target = await self._pair(request, client)
        outputs = await self._forced_decode(source, target, client)
        return _attention_response(outputs, [*source, EOS], target, self._tokenizer)

    async def explain(self, request: schema.ExplanationRequest, client: str = "") -> schema.ExplanationResponse:
        """Explains a target token; raises InvalidRequestError, ComputationError or BusyError."""
        if not (measures := self._programs.measures):
            raise InvalidRequestError("an ensemble is not explained; serve one of its runs")
        source, target = await self._pair(request, client)
        position, limit = request.position, schema.MAX_EXPLAINED_TOKENS
        if position >= len(target):
            raise InvalidRequestError(f"position: {position} is not in [0, {len(target)})")
        if (longest := max(len(source) + 1, len(target))) > limit:
            raise InvalidRequestError(
                f"text: it or its translation has {longest} tokens; at most {limit} are explained"
            )
        outputs = await self._forced_decode(source, target, client)
        others = [token for token in outputs.top_tokens[position].tolist() if token != target[position]]
        other = others[0] if request.other is None else request.other
        if other not in others:
            raise InvalidRequestError(f"other: {other} is not one of {', '.join(map(str, others))}, the most probable")
        functions = {
            name: functools.partial(self._programs.measure, name, source, target, position, other) for name in measures
        }
        measured = await self._compute(functions, source, target, client)
        data = explanation_data(measured, position, other, outputs, len(source) + 1, self._tokenizer.pieces)
        return schema.ExplanationResponse.model_validate(data)

    async def _forced_decode(self, source: list[int], target: list[int], client: str) -> PairOutputs:
        functions = {FORCED: functools.partial(self._programs.forced_decode, source, target)}
        return (await self._compute(functions, source, target, client))[FORCED]

    async def _compute(
        self, functions: Mapping[str, Callable[[], Any]], source: list[int], target: list[int], client: str
    ) -> dict[str, Any]:
        """Returns the results of programs for a pair by name. Clients take turns between these jobs."""
        events: _Events = asyncio.Queue()
        names = list(functions)
        jobs = [
            FunctionJob(
                self._programs.pair_key(name, source, target), functions[name], _notifier(events, index), client
            )
            for index, name in enumerate(names)
        ]
        self._engine.submit(jobs)
        try:
            results = {}
            for _ in jobs:
                index, event = await events.get()
                results[names[index]] = _result(event)
            return results
        finally:
            for job in jobs:
                job.cancelled = True  # has no effect on a finished job

    async def _pair(self, request: schema.AttentionRequest, client: str) -> tuple[list[int], list[int]]:
        """Returns a request's source without EOS and target with EOS; raises InvalidRequestError."""
        parts = self._divide(request.text).parts
        if len(parts) != 1 or not parts[0].ids:
            raise InvalidRequestError(f"text: one line of 1 to {self._limit} tokens is needed")
        if request.tokens is not None and request.target is not None:
            raise InvalidRequestError("tokens, target: give one of them")
        if request.tokens is not None:
            return parts[0].ids, self._checked_tokens(request.tokens)
        if request.target is not None:
            (target_line,) = self._programs.target_text.read([request.target])
            return parts[0].ids, self._checked_tokens(self._tokenizer.for_target.encode(target_line.text))
        response = await self.translate(schema.TranslationRequest(text=request.text), client)
        target = response.parts[0].translations[0].tokens
        if not target:
            raise InvalidRequestError("text: it has no word that the vocabulary covers")
        return parts[0].ids, target

    def _checked_tokens(self, tokens: Sequence[int]) -> list[int]:
        """Returns a target's ids with EOS at the end."""
        ids = list(tokens[:-1]) if tokens and tokens[-1] == EOS else list(tokens)
        limit = self._limit + self._spec.decode.max_extra_length
        if not 0 < len(ids) <= limit:
            raise InvalidRequestError(f"the translation has {len(ids)} tokens, not 1 to {limit}")
        if invalid := [token for token in ids if not EOS < token < self._tokenizer.vocab_size]:
            raise InvalidRequestError(f"tokens: {invalid[0]} is not in [{EOS + 1}, {self._tokenizer.vocab_size})")
        return [*ids, EOS]

    def _row_factory(self, request: schema.TranslationRequest) -> Callable[[list[int]], SearchRow]:
        decode, size = self._spec.decode, request.beam_size or self.beam_size
        if request.n_best > (size if request.method == "beam" else 1):
            limit = f"beam_size={size}" if request.method == "beam" else "1, the number of samples"
            raise InvalidRequestError(f"n_best: {request.n_best} is more than {limit}")
        penalty = decode.length_penalty if request.length_penalty is None else request.length_penalty
        settings = SearchSettings(request.method, size, penalty, request.temperature, request.top_p)
        return lambda ids: SearchRow(ids, settings, request.seed)

    def _divide(self, text: str) -> _DividedText:
        parts: list[_TextPart] = []
        warnings = []
        lines = self._programs.input_text.read(text.replace("\r\n", "\n").split("\n"))
        for number, line in enumerate(lines):
            if warning := line.warning(number + 1):
                warnings.append(warning)
            try:
                texts = split_line(line.text, self._limit, self._tokenizer)
            except ValueError as error:
                raise InvalidRequestError(f"text: line {number + 1}: {error}") from None
            if len(texts) > 1:
                warnings.append(
                    f"line {number + 1} is longer than the {self._limit} tokens that the model was trained on: "
                    f"it is translated in {len(texts)} parts"
                )
            parts += [_TextPart(number, part, self._tokenizer.encode(part) if part.strip() else []) for part in texts]
        if len(parts) > schema.MAX_PARTS:
            count = f"{len(parts)} lines, or parts of long lines,"
            raise InvalidRequestError(f"text: {count} are more than {schema.MAX_PARTS}")
        return _DividedText(parts, warnings)


def _notifier(events: _Events, index: int) -> Callable[[Any], None]:
    """Returns the engine thread's callback, which puts an event into a queue of this thread's event loop."""
    loop = asyncio.get_running_loop()

    def notify(event: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for the event
            loop.call_soon_threadsafe(events.put_nowait, (index, event))

    return notify


def _result(event: Partial | Done | Failed) -> Any:
    if isinstance(event, Done):
        return event.result
    if isinstance(event, Failed) and event.busy:
        raise BusyError
    raise ComputationError(event.message if isinstance(event, Failed) else "no result")


def _translated_part(part: _TextPart, translations: Sequence[Translation]) -> schema.TranslatedPart:
    hypotheses = [schema.Hypothesis(text=t.text, score=t.score, tokens=list(t.tokens)) for t in translations]
    return schema.TranslatedPart(line=part.line, source=part.text, translations=hypotheses)


def _translation_response(text: _DividedText, translations: dict[int, list[Translation]]) -> schema.TranslationResponse:
    """Joins parts to lines and lines to a text: the k-th translation consists of each line's k-th best."""
    parts_by_line: dict[int, list[list[Translation]]] = {}
    for index, part in enumerate(text.parts):
        parts_by_line.setdefault(part.line, []).append(translations[index])
    lines = [sentence_split.join_translations(parts) for parts in parts_by_line.values()]
    ranked = []
    for rank in range(max(map(len, lines))):
        chosen = [line[min(rank, len(line) - 1)] for line in lines]
        joined, score = "\n".join(line.text for line in chosen), sum(line.score for line in chosen)
        ranked.append(schema.RankedTranslation(text=joined, score=score))
    parts = [_translated_part(part, translations[index]) for index, part in enumerate(text.parts)]
    return schema.TranslationResponse(text=ranked[0].text, translations=ranked, parts=parts, warnings=text.warnings)


def _attention_response(
    outputs: PairOutputs, source: Sequence[int], target: Sequence[int], tokenizer: Tokenizer
) -> schema.AttentionResponse:
    def tokenized(ids: Sequence[int]) -> schema.TokenizedText:
        pieces = tokenizer.pieces(ids)
        return schema.TokenizedText(pieces=subwords.piece_texts(pieces), words=subwords.word_texts(pieces))

    def alternatives(ids: np.ndarray, log_probabilities: np.ndarray) -> list[schema.TokenAlternative]:
        probabilities, pieces = np.exp(log_probabilities).tolist(), subwords.piece_texts(tokenizer.pieces(ids))
        rows = zip(ids.tolist(), pieces, probabilities, strict=True)
        return [schema.TokenAlternative(token=token, piece=piece, probability=round(p, 4)) for token, piece, p in rows]

    weights = {name: np.round(array.astype(np.float64), 4).tolist() for name, array in outputs.attention.items()}
    return schema.AttentionResponse(
        source=tokenized(source),
        target=tokenized(target),
        probability=[round(float(p), 4) for p in np.exp(outputs.log_probability_T)],
        alternatives=list(map(alternatives, outputs.top_tokens, outputs.top_log_probability)),
        attention=[schema.LayerAttention(name=name, weights=heads) for name, heads in weights.items()],
    )
