"""The compiled programs of a server: a search that can be watched, and a reading of a pair; each of few shapes."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runs.loading import Trained
from experiments.runs.long_lines import longest
from transformer.analysis import forced_decoding
from transformer.analysis.forced_decoding import Reading
from transformer.data.batches.evaluation import grid_width
from transformer.decoding import search, search_loop
from transformer.decoding.search_loop import Progress, Stages
from transformer.spec import BOS, EOS, PAD

_TOP = 5  # alternatives to a token


class Settings(NamedTuple):
    """How one text is searched for."""

    method: str  # "beam" or "sample"
    beam_size: int
    length_penalty: float
    temperature: float
    top_p: float


class Row(NamedTuple):
    """One text of a batch."""

    ids: Sequence[int]  # without EOS
    settings: Settings
    seed: int = 0


class _Kind(NamedTuple):
    """What a program is compiled for; other settings are its arguments."""

    method: str
    beam_size: int
    narrow: bool  # whether `top_p` leaves tokens out


class Programs:
    """Searches and reads with a trained run.

    Args:
      trained: the run, or an ensemble.
      batch_size: most rows of a search. There are two programs for each width, for one row and for so many.
    """

    def __init__(self, trained: Trained, batch_size: int) -> None:
        self._system, self._params = trained.system, trained.params
        self.spec, self.tokenizer = self._system.spec, self._system.tokenizer
        place = self._system.placement.rows
        self.rows = tuple(sorted({place(1), place(batch_size)}))

    def group(self, row: Row) -> tuple[Any, ...]:
        """Rows of one group may share a batch: their program, their width, and what is one for a whole batch."""
        settings = row.settings
        penalty = settings.length_penalty if settings.method == "beam" else None
        return self._kind(settings), grid_width(len(row.ids) + 1), penalty

    @staticmethod
    def _kind(settings: Settings) -> _Kind:
        beam = settings.method == "beam"
        return _Kind(settings.method, settings.beam_size if beam else 1, not beam and settings.top_p < 1)

    def search(self, rows: Sequence[Row], steps: int) -> Iterator[Progress]:
        """Searches for rows of one group, and stops to be looked at after every so many steps, until all are done."""
        kind, width, _ = self.group(rows[0])
        count = next(count for count in self.rows if len(rows) <= count)
        source_BS = np.full((count, width), PAD, np.int32)
        numbers_B3 = np.ones((count, 3), np.float32)
        whole_B2 = np.zeros((count, 2), np.int32)  # seed, and the step to go to
        for place, row in enumerate(rows):
            source_BS[place, : len(row.ids) + 1] = [*row.ids, EOS]
            whole_B2[place, 0] = row.seed
        settings = rows[0].settings
        numbers_B3[:, 0] = settings.length_penalty
        numbers_B3[: len(rows), 1:] = [[row.settings.temperature, row.settings.top_p] for row in rows]
        begin, go_on = self._searches(kind)
        shard = self._system.placement.shard
        fixed = (shard(source_BS), shard(numbers_B3))
        progress = begin(self._params, *fixed, shard(whole_B2))
        while not np.asarray(progress.done_B)[: len(rows)].all():
            whole_B2[:, 1] += steps
            progress = go_on(self._params, *fixed, shard(whole_B2), progress.state)
            yield progress

    @functools.cache  # noqa: B019  # one server, a few kinds
    def _searches(self, kind: _Kind) -> tuple[Callable[..., Progress], Callable[..., Progress]]:
        def begin(params: Any, source_BS: Any, numbers_B3: Any, whole_B2: Any) -> Progress:
            return search_loop.begin(self._stages(kind, params, source_BS, numbers_B3, whole_B2))

        def go_on(params: Any, source_BS: Any, numbers_B3: Any, whole_B2: Any, state: Any) -> Progress:
            parts = self._stages(kind, params, source_BS, numbers_B3, whole_B2)
            return search_loop.go_on(parts, state, whole_B2[:, 1])

        compiled = self._system.placement.compile_rows
        return compiled(begin), compiled(go_on)

    def _stages(self, kind: _Kind, params: Any, source_BS: Any, numbers_B3: Any, whole_B2: Any) -> Stages:
        """The search of a kind, with its numbers as arguments: one program serves all of them."""
        settings = dataclasses.asdict(self.spec.decode) | {"method": kind.method, "beam_size": kind.beam_size}
        numbers = {"length_penalty": numbers_B3[0, 0], "temperature": numbers_B3[:, 1:2]}
        numbers["top_p"] = numbers_B3[:, 2:3] if kind.narrow else 1.0
        keys_B = jax.vmap(jax.random.key)(whole_B2[:, 0])
        system, decode = self._system, search.Traced(**(settings | numbers))
        return search.stages(system.model(params), source_BS, decode, keys_B, frugal=system.placement.on_cpu)

    def ahead(self) -> list[Callable[[], None]]:
        """What compiles the programs that the run's own settings need, the likeliest first."""
        decode = self.spec.decode
        settings = Settings("beam", decode.beam_size, decode.length_penalty, 1.0, 1.0)
        lengths, length = [], longest(self.spec)
        while not lengths or grid_width(lengths[-1] + 1) < grid_width(length + 1):
            lengths.append(min(grid_width(lengths[-1] + 2) - 1 if lengths else grid_width(1) - 1, length))

        def searched(length: int, count: int) -> None:
            progress = next(self.search([Row([EOS + 1] * length, settings)] * count, 1))
            progress.done_B.block_until_ready()

        def looked(length: int) -> None:
            self.read([EOS + 1] * length, [EOS])

        every = []
        for length in lengths:
            every += [functools.partial(searched, length, count) for count in self.rows]
            every.append(functools.partial(looked, length))
        return every

    def read(self, source: Sequence[int], target: Sequence[int]) -> Reading:
        """What the model does while it reads a pair: `source` without EOS, `target` with it."""
        width = grid_width(max(len(source) + 1, len(target)))
        arrays = [np.full((self.rows[0], width), PAD, np.int32) for _ in range(3)]
        for array, ids in zip(arrays, ([*source, EOS], [BOS, *target[:-1]], target), strict=True):
            array[0, : len(ids)] = ids
        found = self._looks(self._params, *map(self._system.placement.shard, arrays))
        return forced_decoding.one(found, 0, len(source) + 1, len(target))

    @functools.cached_property
    def _looks(self) -> Callable[..., forced_decoding.Looks]:
        def looks(
            params: Any, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array
        ) -> forced_decoding.Looks:
            return forced_decoding.looks(self._system.model(params), source_BS, input_BT, target_BT, _TOP)

        return self._system.placement.compile_rows(looks)
