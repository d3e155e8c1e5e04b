"""The training split: its text, vocabulary and tokens, prepared beforehand or computed when the run starts."""

import dataclasses
from collections.abc import Sequence

from experiments.runs.workdir import Workdir
from transformer.data.corpus import Corpus, Pair
from transformer.data.prepared import PreparedFolder
from transformer.data.token_dataset import TokenizedPairs, tokenize
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """A training split.

    Attributes:
      data: the settings.
      pairs: the text; pairs of a prepared split are read only on access.
      prepared: the folder of a prepared split; otherwise None.
    """

    data: DataSpec
    pairs: Sequence[Pair]
    prepared: PreparedFolder | None

    @classmethod
    def open(cls, data: DataSpec, corpus: Corpus) -> "TrainingData":
        """Opens the training split of `data`.

        Raises:
          ValueError, FileNotFoundError: the split does not exist, or `data.prepared` is incomplete or was made from
            another corpus.
        """
        if not data.prepared:
            return cls(data, corpus.split(data.train_split), None)
        folder = PreparedFolder.from_spec(data, corpus)
        return cls(data, corpus.lazy_split(data.train_split, folder.path), folder)

    def tokenizer(self, workdir: Workdir) -> Tokenizer:
        """Returns the tokenizer in a run's folder; writes it first if it is missing: the prepared one, or a new one.

        Raises:
          ValueError: the split was prepared with another tokenizer than that in the folder.
        """
        prepared = self.prepared.load_tokenizer() if self.prepared else None
        if not workdir.tokenizer.exists():
            (prepared or Tokenizer.train(self.pairs, self.data)).save(workdir.tokenizer)
        tokenizer = load_tokenizer(workdir.tokenizer)
        if prepared and prepared.fingerprint != tokenizer.fingerprint:
            raise ValueError(
                f"data.prepared: {self.data.prepared} has tokens of another vocabulary than {workdir.tokenizer}"
            )
        return tokenizer

    def tokenize(self, tokenizer: Tokenizer) -> TokenizedPairs:
        """Returns the tokens of the split."""
        if self.prepared:
            return self.prepared.pairs(self.data.direction)
        return tokenize(self.pairs, tokenizer, self.data.max_length)
