"""What a run learns from: the training split as text, its vocabulary, its tokens; prepared, or made at the start."""

import dataclasses
from collections.abc import Sequence

from experiments.runs.workdir import Workdir
from transformer.data.corpus import Corpus, Pair
from transformer.data.prepared import Prepared
from transformer.data.token_dataset import TokenizedPairs, tokenize
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec


@dataclasses.dataclass(frozen=True)
class TrainingSplit:
    """A training split.

    Attributes:
      data: the settings.
      pairs: as text; of a prepared split only those are read that are asked for.
      prepared: its folder, if it is prepared.
    """

    data: DataSpec
    pairs: Sequence[Pair]
    prepared: Prepared | None

    @classmethod
    def of(cls, data: DataSpec, corpus: Corpus) -> "TrainingSplit":
        """The training split of `data`.

        Raises:
          ValueError, FileNotFoundError: there is none, or `data.prepared` is not whole or was made of something else.
        """
        if not data.prepared:
            return cls(data, corpus.split(data.train_split), None)
        folder = Prepared.of(data, corpus)
        return cls(data, corpus.lazily(data.train_split, folder.path), folder)

    def tokenizer(self, workdir: Workdir) -> Tokenizer:
        """The tokenizer in a run's folder, or else the split's, which is kept there: prepared, or learnt from it.

        Raises:
          ValueError: the split was prepared with another tokenizer than that in the folder.
        """
        prepared = self.prepared.load_tokenizer() if self.prepared else None
        if not workdir.tokenizer.exists():
            (prepared or Tokenizer.learnt(self.pairs, self.data)).save(workdir.tokenizer)
        tokenizer = load_tokenizer(workdir.tokenizer)
        if prepared and prepared.fingerprint != tokenizer.fingerprint:
            raise ValueError(
                f"data.prepared: {self.data.prepared} has tokens of another vocabulary than {workdir.tokenizer}"
            )
        return tokenizer

    def tokenized(self, tokenizer: Tokenizer) -> TokenizedPairs:
        """Its tokens by that tokenizer."""
        if self.prepared:
            return self.prepared.pairs(self.data.direction)
        return tokenize(self.pairs, tokenizer, self.data.max_length)
