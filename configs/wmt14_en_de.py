"""The two English-German systems of Vaswani et al. 2017, Table 2; Table 3 builds on the base model.

`:base` is the base model of Section 5 (65 M parameters, 100,000 steps), `:big` the big model (213 M, 300,000 steps,
dropout 0.3). Both use WMT 2014 from TFDS, 4.5 M pairs, with a joint vocabulary of 37,000 (Section 5.1: "about 37000
tokens"), newstest2013 for validation and newstest2014 for the test.

Source: Vaswani et al. 2017, Sections 5 and 6.1, Tables 2 and 3.
Hardware: published: 8 P100 GPUs. Not run.
Time: published: base 12 hours (0.4 s per step), big 3.5 days (1.0 s per step).
Score: published, newstest2014: base 27.3, big 28.4, as bleu_compound of experiments.evaluate; newstest2013: base 25.8,
  big 26.4. Not run.
Command: python -m experiments.prepare --config=configs/wmt14_en_de.py:base, once for both sizes, and then
  python -m experiments.train --config=configs/wmt14_en_de.py:base --workdir=runs/wmt14-en-de and
  python -m experiments.evaluate --workdir=runs/wmt14-en-de
"""

from ml_collections import ConfigDict

from configs import wmt14_en_fr

ARGUMENTS = ("base", "big")


def get_config(size: str = "base") -> ConfigDict:
    """Returns the config, a delta over wmt14_en_fr.py; `size` is "base" or "big".

    Raises:
      ValueError: unknown size.
    """
    if size not in ARGUMENTS:
        raise ValueError(f"wmt14_en_de:{size}: the argument is one of {', '.join(ARGUMENTS)}")
    config = wmt14_en_fr.get_config(size)

    config.data.name = "wmt14_translate/de-en"
    config.data.direction = "en-de"
    config.data.vocab_size = 37_000
    config.data.prepared = "prepared/wmt14_en_de"  # less than 1 GB
    if size == "big":
        config.model.dropout_embedding = 0.3
        config.model.dropout_sublayer = 0.3
    return config
