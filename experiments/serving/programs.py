"""The server's compiled programs: a search that reports its progress, and forced decoding. Each has few shapes."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runs.loading import TrainedSystem
from experiments.runs.long_lines import max_input_tokens
from transformer.analysis import forced_decoding
from transformer.analysis.forced_decoding import PairOutputs
from transformer.decoding import search, search_loop
from transformer.decoding.search_loop import SearchLoop, SearchProgress
from transformer.padding import padded_width
from transformer.spec import BOS, EOS, PAD

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


class Programs:
    """Runs decoding and forced decoding with a trained run.

    Args:
      trained: The run, or an ensemble.
      batch_size: Maximum rows of a search. Each width has two programs: for one row and for this many.
    """

    def __init__(self, trained: TrainedSystem, batch_size: int) -> None:
        self._system, self._params = trained.system, trained.params
        self.spec, self.tokenizer = self._system.spec, self._system.tokenizer
        rows = self._system.partitioner.padded_rows
        self.batch_sizes = tuple(sorted({rows(1), rows(batch_size)}))

    def batch_key(self, row: SearchRow) -> tuple[Any, ...]:
        """Returns what rows must have in common to share a batch: program, padded width and length penalty."""
        settings, is_beam = row.settings, row.settings.method == "beam"
        key = _ProgramKey(settings.method, settings.beam_size if is_beam else 1, not is_beam and settings.top_p < 1)
        return key, padded_width(len(row.ids) + 1), settings.length_penalty if is_beam else None

    def search(self, rows: Sequence[SearchRow], steps: int) -> Iterator[SearchProgress]:
        """Decodes rows of one batch key; yields the progress after every `steps` decoding steps, until all are done."""
        key, width, _ = self.batch_key(rows[0])
        count = next(count for count in self.batch_sizes if len(rows) <= count)
        source_BS = np.full((count, width), PAD, np.int32)
        floats_B3 = np.ones((count, 3), np.float32)
        integers_B2 = np.zeros((count, 2), np.int32)  # seed, and the step to decode to
        for index, row in enumerate(rows):
            source_BS[index, : len(row.ids) + 1] = [*row.ids, EOS]
            integers_B2[index, 0] = row.seed
        settings = rows[0].settings
        floats_B3[:, 0] = settings.length_penalty
        floats_B3[: len(rows), 1:] = [[row.settings.temperature, row.settings.top_p] for row in rows]
        start, resume = self._searches(key)
        shard = self._system.partitioner.shard
        fixed = (shard(source_BS), shard(floats_B3))
        progress = start(self._params, *fixed, shard(integers_B2))
        while not np.asarray(progress.done_B)[: len(rows)].all():
            integers_B2[:, 1] += steps
            progress = resume(self._params, *fixed, shard(integers_B2), progress.state)
            yield progress

    @functools.cache  # noqa: B019  # one instance for each server, and few keys
    def _searches(self, key: _ProgramKey) -> tuple[Callable[..., SearchProgress], Callable[..., SearchProgress]]:
        def start(params: Any, source_BS: Any, floats_B3: Any, integers_B2: Any) -> SearchProgress:
            return search_loop.start(self._loop(key, params, source_BS, floats_B3, integers_B2))

        def resume(params: Any, source_BS: Any, floats_B3: Any, integers_B2: Any, state: Any) -> SearchProgress:
            loop = self._loop(key, params, source_BS, floats_B3, integers_B2)
            return search_loop.resume(loop, state, integers_B2[:, 1])

        compiled = self._system.partitioner.compile_eval
        return compiled(start), compiled(resume)

    def _loop(self, key: _ProgramKey, params: Any, source_BS: Any, floats_B3: Any, integers_B2: Any) -> SearchLoop:
        """Returns the search of a key. Its other settings are traced, so that one program serves all values."""
        settings = dataclasses.asdict(self.spec.decode) | {"method": key.method, "beam_size": key.beam_size}
        traced = {"length_penalty": floats_B3[0, 0], "temperature": floats_B3[:, 1:2]}
        traced["top_p"] = floats_B3[:, 2:3] if key.truncated else 1.0
        keys_B = jax.vmap(jax.random.key)(integers_B2[:, 0])
        system, decode = self._system, search.TracedDecodeSpec(**(settings | traced))
        return search.build_loop(system.model(params), source_BS, decode, keys_B)

    def warmup_tasks(self) -> list[Callable[[], Any]]:
        """Returns functions that compile the programs for the run's own settings, the shortest texts first."""
        decode = self.spec.decode
        settings = SearchSettings("beam", decode.beam_size, decode.length_penalty, 1.0, 1.0)
        lengths, length = [], max_input_tokens(self.spec)
        while not lengths or padded_width(lengths[-1] + 1) < padded_width(length + 1):
            lengths.append(min(padded_width(lengths[-1] + 2) - 1 if lengths else padded_width(1) - 1, length))

        def compile_search(length: int, count: int) -> None:
            progress = next(self.search([SearchRow([EOS + 1] * length, settings)] * count, 1))
            progress.done_B.block_until_ready()

        tasks = []
        for length in lengths:
            tasks += [functools.partial(compile_search, length, count) for count in self.batch_sizes]
            tasks.append(functools.partial(self.forced_decode, [EOS + 1] * length, [EOS]))
        return tasks

    def forced_decode(self, source: Sequence[int], target: Sequence[int]) -> PairOutputs:
        """Returns the model's outputs for a given pair: `source` without EOS, `target` with EOS."""
        width = padded_width(max(len(source) + 1, len(target)))
        arrays = [np.full((self.batch_sizes[0], width), PAD, np.int32) for _ in range(3)]
        for array, ids in zip(arrays, ([*source, EOS], [BOS, *target[:-1]], target), strict=True):
            array[0, : len(ids)] = ids
        outputs = self._forced_outputs(self._params, *map(self._system.partitioner.shard, arrays))
        return forced_decoding.unpad_row(outputs, 0, len(source) + 1, len(target))

    @functools.cached_property
    def _forced_outputs(self) -> Callable[..., forced_decoding.ForcedOutputs]:
        def forced_outputs(params: Any, *arrays: jax.Array) -> forced_decoding.ForcedOutputs:
            return forced_decoding.forced_outputs(self._system.model(params), *arrays, top=_TOP)

        return self._system.partitioner.compile_eval(forced_outputs)
