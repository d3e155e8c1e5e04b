"""The deep LSTM of Sutskever et al. 2014: it encodes the reversed sentence as one vector.

`:quickstart`, the default, `:multi30k` and `:small` have the data, the budget and about the size of the Transformers in
quickstart.py, multi30k.py and multi30k.py:small. `:published` has the sizes of the paper, with
subwords instead of 160,000 words.

Departs: Adam with a constant learning rate replaces SGD, whose rate of 0.7 is halved every half epoch after five. As in
  the paper, the gradient is that of a sentence's loss when its norm is limited to 5 (train.clip_unit), and no
  checkpoints are averaged.
Source: Sutskever, Vinyals & Le 2014, "Sequence to Sequence Learning with Neural Networks", Sections 3.2 to 3.6.
Hardware: two CPU cores (quickstart, multi30k); published: not run; the paper used eight GPUs for ten days.
Time: quickstart 8.7 minutes, on a machine with other load; small 1.3 minutes on a faster machine; multi30k: not run.
Score: with train.clip_unit=token, three seeds: quickstart 23.4 BLEU, 42.3 chrF on the test split; small,
  test_2016_flickr: 10.3 BLEU en-fr, 11.7 fr-en; multi30k: not run. Published, WMT14 en-fr test: 30.59 BLEU, tokenised,
  a single reversed LSTM with a beam of 12.
Command: python -m experiments.train --config=configs/seq2seq.py:multi30k --workdir=runs/seq2seq
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
        raise ValueError(f"seq2seq:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    config = (SIZES | {"published": base.get_config})[size]()

    config.model.architecture = "seq2seq"
    config.model.heads = 1  # no attention
    config.model.encoder_layers = 4
    config.model.decoder_layers = 4
    config.model.reverse_source = True
    config.model.scale_embeddings = False
    config.train.clip_norm = 5.0  # "if s > 5, we set g = 5g/s", with g divided by the sentences of a batch; Section 3.4
    config.train.clip_unit = "sentence"

    if size != "published":
        # With Adam, a deep LSTM learns hardly anything in so few updates, at any learning rate: experiments/LOG.md.
        config.train.optimizer = "muon"
        config.train.learning_rate = 8e-3
        return config

    config.model.d_model = 1000
    config.model.tie_embeddings = False
    config.model.init_range = 0.08
    config.model.dropout_embedding = 0.0
    config.model.dropout_sublayer = 0.0
    config.data.direction = "en-fr"
    config.data.vocab_size = 80_000
    config.data.tokens_per_batch = 128 * 30
    config.train.label_smoothing = 0.0
    config.train.schedule = "constant"
    config.train.warmup_steps = 1
    config.train.learning_rate = 1e-3  # for Adam; the paper used SGD with 0.7
    config.train.average_checkpoints = 1
    config.train.steps = 700_000  # 7.5 epochs of 12 million sentences
    config.decode.beam_size = 12
    config.decode.length_penalty = 0.0
    return config
