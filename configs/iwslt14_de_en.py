"""IWSLT 2014, German to English: 160,000 pairs of TED talks, with fairseq's recipe or with SimCut.

`:fairseq`, the default, is the recipe of fairseq's examples/translation: the Transformer with 4 heads and an inner
width of 1024, dropout 0.3, Adam with 4096 tokens per batch. `:simcut` adds SimCut (Gao et al. 2022).

The text is that of fairseq's prepare-iwslt14.sh before its BPE, without Moses's escapes: lower-cased, tokenised,
160,239 pairs for training (fewer are a warning), 7,283 for validation and 6,750 for the test. After that script:
  mkdir -p corpus/iwslt14; for split in train valid test; do for side in de en; do
    perl mosesdecoder/scripts/tokenizer/deescape-special-chars.perl < iwslt14.tokenized.de-en/tmp/$split.$side \
      > corpus/iwslt14/$split.$side
  done; done

Departs: the checkpoint is the mean of the last 5, not the best by validation loss. Source and target share vocabulary
  and embeddings, as in Bi-SimCut; fairseq's page has a vocabulary for each. Papers score the tokens of the script:
  compare bleu, whose 13a changes 6 of 5,000 such lines (of Multi30k); bleu_paper splits "'s" once more.
Source: fairseq, examples/translation/README.md and prepare-iwslt14.sh; Gao et al. 2022, "Bi-SimCut: A Simple Strategy
  for Boosting Neural Machine Translation", and github.com/gpengzhi/Bi-SimCut.
Hardware: published: one GPU. Not run.
Time: not measured.
Score: published, tokenised and lower-cased BLEU: fairseq's recipe 34.89, SimCut 37.95 (both in the repository of
  Bi-SimCut; its paper has 37.81). Not run.
Command: python -m experiments.train --config=configs/iwslt14_de_en.py --workdir=runs/iwslt14
"""

from ml_collections import ConfigDict

from configs import base

ARGUMENTS = ("fairseq", "simcut")


def get_config(recipe: str = "fairseq") -> ConfigDict:
    """Returns the config; `recipe` is one of `ARGUMENTS`.

    Raises:
      ValueError: unknown recipe.
    """
    if recipe not in ARGUMENTS:
        raise ValueError(f"iwslt14_de_en:{recipe}: the argument is one of {', '.join(ARGUMENTS)}")
    config = base.get_config()

    config.model.d_ff = 1024
    config.model.heads = 4
    config.model.dropout_embedding = 0.3
    config.model.dropout_sublayer = 0.3

    config.data.source = "files"
    config.data.name = ""
    config.data.path = "corpus/iwslt14/{split}.{language}"
    config.data.direction = "de-en"
    config.data.validation_split = "valid"
    config.data.train_pairs = 160_239
    config.data.vocab_size = 10_000  # "BPE_TOKENS=10000"
    config.data.max_length = 256  # more than the script keeps, 175 words
    config.data.tokens_per_batch = 4096

    config.train.steps = 60_000  # the published command sets no limit
    config.train.optimizer = "adamw"
    config.train.weight_decay = 1e-4
    config.train.learning_rate = 5e-4
    config.train.adam_epsilon = 1e-8
    config.train.average_checkpoints = 5

    config.decode.beam_size = 5
    config.decode.length_penalty = 1.0
    config.evaluate.every = 2000
    config.checkpoint.every = 2000

    if recipe == "simcut":
        config.train.consistency = 3.0  # α
        config.train.consistency_kind = "simcut"
        config.train.cutoff_rate = 0.05  # p
        config.train.steps = 100_000
    return config
