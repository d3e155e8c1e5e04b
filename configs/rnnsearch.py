"""The attention model of Bahdanau et al. 2015: a bidirectional GRU, and a decoder with additive attention.

`:quickstart`, the default, `:multi30k` and `:small` have the data, the budget and about the size of the Transformers in
quickstart.py, multi30k.py and multi30k.py:small. `:published` has the sizes of the paper, with
subwords instead of 30,000 words per language.

Departs: `:published` starts from Glorot's uniform weights; those of Section B.1 are Gaussian with a standard deviation
  of 0.01 (W_a and U_a: 0.001), and V_a is zero. Recurrent weights are orthogonal and biases zero, as in the paper.
  Adam replaces Adadelta. As in the paper, the gradient is that of a sentence's loss when its norm is limited to 1
  (train.clip_unit), and no checkpoints are averaged.
Source: Bahdanau, Cho & Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and Translate", Section 4
  and Appendices A and B.
Hardware: two CPU cores (quickstart, multi30k); published: not run; the paper used one GPU for 252 hours.
Time: quickstart 6.3 minutes, on a machine with other load; small 2.2 minutes on a faster machine; multi30k: not run.
Score: with train.clip_unit=token, three seeds: quickstart 97.6 BLEU, 98.9 chrF on the test split; small,
  test_2016_flickr: 48.2 BLEU en-fr, 44.4 fr-en; multi30k: not run. Published, WMT14 en-fr test: 28.45 BLEU, tokenised,
  RNNsearch-50, trained longest.
Command: python -m experiments.train --config=configs/rnnsearch.py:multi30k --workdir=runs/rnnsearch
"""

from ml_collections import ConfigDict

from configs import base
from configs.sizes import SIZES

ARGUMENTS = (*SIZES, "published")


def get_config(size: str = "quickstart") -> ConfigDict:
    """Returns the config, a delta over quickstart.py, multi30k.py or base.py.

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"rnnsearch:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    config = (SIZES | {"published": base.get_config})[size]()

    config.model.architecture = "rnnsearch"
    config.model.encoder_layers = 1
    config.model.decoder_layers = 1
    config.model.heads = 1
    config.model.cross_score = "additive"
    config.model.cell = "gru"
    config.model.scale_embeddings = False
    config.train.clip_norm = 1.0  # Section B.2
    config.train.clip_unit = "sentence"

    if size != "published":
        config.model.d_state = 192
        config.train.optimizer = "muon"
        config.train.learning_rate = 8e-3  # the best of 2e-3, 4e-3 and 8e-3: experiments/LOG.md
        return config

    config.model.d_model = 620  # m
    config.model.d_state = 1000  # n
    config.model.d_k = 1000  # n'
    config.model.d_maxout = 500  # l
    config.model.tie_embeddings = False
    config.model.dropout_embedding = 0.0
    config.model.dropout_sublayer = 0.0
    config.data.direction = "en-fr"
    config.data.vocab_size = 60_000
    config.data.max_length = 50
    config.data.tokens_per_batch = 80 * 50
    config.train.label_smoothing = 0.0
    config.train.schedule = "constant"
    config.train.warmup_steps = 1
    config.train.learning_rate = 5e-4  # for Adam; the paper used Adadelta
    config.train.steps = 667_000
    config.train.average_checkpoints = 1
    config.decode.beam_size = 12
    config.decode.length_penalty = 0.0
    return config
