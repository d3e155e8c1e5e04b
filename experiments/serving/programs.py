"""The server's compiled programs: a search that reports its progress, forced decoding, and measures of a token.

Each has few shapes.
"""

import collections
import dataclasses
import functools
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runs.loading import TrainedSystem
from experiments.runs.long_lines import max_input_tokens
from transformer.analysis import explanation, forced_decoding
from transformer.analysis.explanation import Measured
from transformer.analysis.forced_decoding import PairOutputs
from transformer.analysis.patching import ContrastBatch
from transformer.decoding import search, search_loop
from transformer.decoding.search_loop import SearchLoop, SearchProgress
from transformer.padding import padded_width
from transformer.spec import BOS, EOS, PAD

MAX_PROGRAMS = 24  # compiled for settings other than the run's own; each takes about 8 MB
_TOP = 5  # most probable tokens reported at each position


class SearchSettings(NamedTuple):
    """Decoding settings of one text."""

    method: str  # "beam" or "sample"
    beam_size: int
    length_penalty: float
    temperature: float
    top_p: float


class SearchRow(NamedTuple):
    """One row of a batch."""

    ids: Sequence[int]  # without EOS
    settings: SearchSettings
    seed: int = 0


class _ProgramKey(NamedTuple):
    """Settings that are compiled into a program; all others are its arguments."""

    method: str
    beam_size: int
    truncated: bool  # whether `top_p` excludes tokens


class PairKey(NamedTuple):
    """A program for one pair of source and target."""

    name: str  # `FORCED` or a name in `explanation.MEASURES`
    width: int  # padded width of both


FORCED = "forced decoding"
_SearchKey = tuple[_ProgramKey, int, float | None]  # program, padded width and length penalty
Key = _SearchKey | PairKey


class _Search(NamedTuple):
    start: Callable[..., SearchProgress]
    resume: Callable[..., SearchProgress]


class Programs:
    """Runs decoding and forced decoding with a trained run, by programs that are compiled ahead of their use.

    At most `MAX_PROGRAMS` are kept besides permanent ones; the least recently used one makes room for a new one.

    Args:
      trained: The run, or an ensemble.
      batch_size: Maximum rows of a search. Each width has two programs: for one row and for this many.
      unknown: What stands for unknown words in translations.
    """

    def __init__(self, trained: TrainedSystem, batch_size: int, unknown: str = "copy") -> None:
        self._system, self._params = trained.system, trained.params
        self.input_text, self.target_text = trained.system.input_text, trained.system.target_text
        self.unknown_words = trained.system.unknown_words(trained.params, unknown)
        self.spec, self.tokenizer = self._system.spec, self._system.tokenizer
        rows = self._system.partitioner.padded_rows
        self.batch_sizes = tuple(sorted({rows(1), rows(batch_size)}))
        self._programs: collections.OrderedDict[tuple[Hashable, int], Any] = collections.OrderedDict()
        self._permanent: set[tuple[Hashable, int]] = set()
        self._lock = threading.Lock()

    def batch_key(self, row: SearchRow) -> _SearchKey:
        """Returns what rows must have in common to share a batch."""
        settings, is_beam = row.settings, row.settings.method == "beam"
        key = _ProgramKey(settings.method, settings.beam_size if is_beam else 1, not is_beam and settings.top_p < 1)
        return key, padded_width(len(row.ids) + 1), settings.length_penalty if is_beam else None

    def pair_key(self, name: str, source: Sequence[int], target: Sequence[int]) -> PairKey:
        """Returns the key of a program for a pair: `source` without EOS, `target` with EOS."""
        return PairKey(name, padded_width(max(len(source) + 1, len(target))))

    @functools.cached_property
    def measures(self) -> list[str]:
        """Names of the measures that explain a token; an ensemble has none."""
        return explanation.measures_of(self._system.model(self._params))

    def rows(self, key: Any) -> int:
        """Returns the most rows that a compiled program of the key can take; 0 if none is compiled."""
        counts = (count for count in self.batch_sizes if (_program_name(key), count) in self._programs)
        if isinstance(key, PairKey):
            return self.batch_sizes[-1] if any(counts) else 0
        return max(counts, default=0)

    def compile(self, key: Any, rows: int, permanent: bool = False) -> None:
        """Compiles the program of a key for a number of rows, unless it is compiled; may run in any one thread."""
        is_pair = isinstance(key, PairKey)
        name = (_program_name(key), self.batch_sizes[0] if is_pair else rows)
        program = self._programs.get(name) or (self._compile_pair(key) if is_pair else self._compile_search(key, rows))
        with self._lock:
            self._programs[name] = program
            if permanent:
                self._permanent.add(name)
            others = [other for other in self._programs if other not in self._permanent]
            for other in others[: max(0, len(others) - MAX_PROGRAMS)]:
                del self._programs[other]

    def _use(self, key: Hashable, count: int) -> Any:
        with self._lock:
            if (key, count) in self._programs:
                self._programs.move_to_end((key, count))
                return self._programs[key, count]
        return None

    def search(self, rows: Sequence[SearchRow], steps: int) -> Iterator[SearchProgress]:
        """Decodes rows of one batch key; yields the progress after every `steps` decoding steps, until all are done."""
        batch_key = self.batch_key(rows[0])
        key, width, _ = batch_key
        counts = [count for count in self.batch_sizes if len(rows) <= count]
        program, count = next(
            ((program, count) for count in counts if (program := self._use((key, width), count))), (None, counts[0])
        )
        if program is None:  # evicted since the batch was chosen
            self.compile(batch_key, count)
            program = self._programs[(key, width), count]
        arrays = self._search_arrays(rows, count, width)
        shard = self._system.partitioner.shard
        integers_B2 = arrays[2]
        fixed = (shard(arrays[0]), shard(arrays[1]))
        progress = program.start(self._params, *fixed, shard(integers_B2))
        while not np.asarray(progress.done_B)[: len(rows)].all():
            integers_B2[:, 1] += steps
            progress = program.resume(self._params, *fixed, shard(integers_B2), progress.state)
            yield progress

    def _search_arrays(self, rows: Sequence[SearchRow], count: int, width: int) -> tuple[np.ndarray, ...]:
        """Returns source_BS; length penalty, temperature and top_p [B, 3]; seed and step to decode to [B, 2]."""
        source_BS = np.full((count, width), PAD, np.int32)
        floats_B3 = np.ones((count, 3), np.float32)
        integers_B2 = np.zeros((count, 2), np.int32)
        for index, row in enumerate(rows):
            source_BS[index, : len(row.ids) + 1] = [*row.ids, EOS]
            integers_B2[index, 0] = row.seed
        if rows:
            floats_B3[:, 0] = rows[0].settings.length_penalty
            floats_B3[: len(rows), 1:] = [[row.settings.temperature, row.settings.top_p] for row in rows]
        return source_BS, floats_B3, integers_B2

    def _compile_search(self, batch_key: _SearchKey, count: int) -> _Search:
        key, width, _ = batch_key

        def start(params: Any, source_BS: Any, floats_B3: Any, integers_B2: Any) -> SearchProgress:
            return search_loop.start(self._loop(key, params, source_BS, floats_B3, integers_B2))

        def resume(params: Any, source_BS: Any, floats_B3: Any, integers_B2: Any, state: Any) -> SearchProgress:
            loop = self._loop(key, params, source_BS, floats_B3, integers_B2)
            return search_loop.resume(loop, state, integers_B2[:, 1])

        partitioner = self._system.partitioner
        jitted: list[Any] = [partitioner.compile_eval(function) for function in (start, resume)]
        arguments = (self._params, *map(partitioner.shard, self._search_arrays([], count, width)))
        started = jitted[0].lower(*arguments).compile()
        state = jax.tree.map(
            lambda shape, sharding: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding),
            jax.eval_shape(jitted[0], *arguments).state,
            started.output_shardings.state,
        )
        return _Search(started, jitted[1].lower(*arguments, state).compile())

    def _loop(self, key: _ProgramKey, params: Any, source_BS: Any, floats_B3: Any, integers_B2: Any) -> SearchLoop:
        """Returns the search of a key. Its other settings are traced, so that one program serves all values."""
        settings = dataclasses.asdict(self.spec.decode) | {"method": key.method, "beam_size": key.beam_size}
        traced = {"length_penalty": floats_B3[0, 0], "temperature": floats_B3[:, 1:2]}
        traced["top_p"] = floats_B3[:, 2:3] if key.truncated else 1.0
        keys_B = jax.vmap(jax.random.key)(integers_B2[:, 0])
        system, decode = self._system, search.TracedDecodeSpec(**(settings | traced))
        return search.build_loop(system.model(params), source_BS, decode, keys_B)

    def warmup(self) -> list[tuple[Key, int]]:
        """Returns the programs of the run's own settings, as keys and rows, in order of text length."""
        decode = self.spec.decode
        settings = SearchSettings("beam", decode.beam_size, decode.length_penalty, 1.0, 1.0)
        lengths, length = [], max_input_tokens(self.spec)
        while not lengths or padded_width(lengths[-1] + 1) < padded_width(length + 1):
            lengths.append(min(padded_width(lengths[-1] + 2) - 1 if lengths else padded_width(1) - 1, length))
        programs: list[tuple[Key, int]] = []
        for length in lengths:
            ids = [EOS + 1] * length
            programs += [(self.batch_key(SearchRow(ids, settings)), count) for count in self.batch_sizes]
            programs.append((self.pair_key(FORCED, ids, [EOS]), self.batch_sizes[0]))
        return programs

    def forced_decode(self, source: Sequence[int], target: Sequence[int]) -> PairOutputs:
        """Returns the model's outputs for a given pair: `source` without EOS, `target` with EOS."""
        key = self.pair_key(FORCED, source, target)
        arrays = [np.full((1, key.width), PAD, np.int32) for _ in range(3)]
        for array, ids in zip(arrays, ([*source, EOS], [BOS, *target[:-1]], target), strict=True):
            array[0, : len(ids)] = ids
        return forced_decoding.unpad_row(self._run_pair(key, arrays), 0, len(source) + 1, len(target))

    def measure(self, name: str, source: Sequence[int], target: Sequence[int], position: int, other: int) -> Measured:
        """Returns a measure of the target token at a position over another token, as in `explanation.MEASURES`."""
        key = self.pair_key(name, source, target)
        batch = explanation.contrast_rows(source, target, [position], [other], key.width)
        arrays = (batch.source_BS, batch.input_BT, np.array([[position, target[position], other]], np.int32))
        return explanation.row_of({name: self._run_pair(key, arrays)}, 0)[name]

    def _run_pair(self, key: PairKey, arrays: Sequence[Any]) -> Any:
        """Runs the program of a key for arrays with one row, which every device computes."""
        count = self.batch_sizes[0]
        program = self._use(key, count)
        if program is None:  # evicted since the job was chosen
            self.compile(key, count)
            program = self._programs[key, count]
        rows = (np.repeat(np.asarray(array), count, axis=0) for array in arrays)
        return program(self._params, *map(self._system.partitioner.shard, rows))

    def _compile_pair(self, key: PairKey) -> Callable[..., Any]:
        def forced_outputs(params: Any, *arrays: jax.Array) -> forced_decoding.ForcedOutputs:
            return forced_decoding.forced_outputs(self._system.model(params), *arrays, top=_TOP)

        def measure(params: Any, source_BS: jax.Array, input_BT: jax.Array, choice_B3: jax.Array) -> Measured:
            batch = ContrastBatch(source_BS, source_BS, input_BT, *choice_B3.T)
            return explanation.MEASURES[key.name](self._system.model(params), batch)

        partitioner, is_forced = self._system.partitioner, key.name == FORCED
        widths = (key.width, key.width, key.width if is_forced else 3)
        arrays = [partitioner.shard(np.full((self.batch_sizes[0], width), PAD, np.int32)) for width in widths]
        jitted: Any = partitioner.compile_eval(forced_outputs if is_forced else measure)
        return jitted.lower(self._params, *arrays).compile()


def _program_name(key: Any) -> Hashable:
    """Returns the part of a batch key that is compiled: the length penalty is an argument."""
    return key[:2]
