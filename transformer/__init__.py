"""The encoder-decoder Transformer of Vaswani et al. 2017, with data, training, decoding, evaluation and analysis."""
