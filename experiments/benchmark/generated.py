"""A prepared folder of any number of pairs, whose tokens are drawn: as large as WMT 2014, in a minute or two."""

import pathlib

import numpy as np

from configs import base
from transformer.data.pairs import LazyPairs
from transformer.data.prepared import Prepared
from transformer.data.shards import Shards, fingerprints
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.spec import EOS, UNK, DataSpec

VOCABULARY = 32_000
LONGEST = 100
# Lengths of French and English as of a Gamma distribution and its neighbour, end symbol included: 28 and 29 tokens on
# average, about those of WMT 2014's news with 32,000 pieces, and a tail that is cut at `LONGEST`.
_SHAPE, _SCALE = 2.2, 12.0
_SHARD = 1 << 16  # pairs
_RATIO, _SPREAD = 1.05, 0.15


def make(path: pathlib.Path, pairs: int) -> None:
    """Makes the folder, unless it is there; the same for the same number."""
    folder = Prepared(path)
    made = {"generated": pairs}
    folder.check(made)
    if folder.whole:
        return
    path.mkdir(parents=True, exist_ok=True)
    data = DataSpec.from_config(base.get_config().to_dict()["data"])
    shards = Shards(folder, LazyPairs(pairs, lambda _: []), data, _SHARD)
    folder.write({"made_of": made})
    for number in shards.missing():
        shards.write(number, _drawn(shards.part(number)))
    contents = shards.join(lambda _: None)
    folder.write(folder.manifest | contents | {"fingerprints": fingerprints(folder)})
    shards.clear()


def _drawn(part: range) -> TokenizedPairs:
    chance = np.random.default_rng(part.start)
    source = np.clip(chance.gamma(_SHAPE, _SCALE, len(part)) + 2, 2, LONGEST)
    target = np.clip(source * chance.normal(_RATIO, _SPREAD, len(part)) + 1, 2, LONGEST)

    def side(lengths: np.ndarray) -> TokenizedSide:
        offsets = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])
        tokens = chance.integers(UNK + 1, VOCABULARY, int(offsets[-1]), np.uint16)
        tokens[offsets[1:] - 1] = EOS
        return TokenizedSide(tokens, offsets)

    return TokenizedPairs(side(source), side(target), np.array(part, np.int64), 0)
