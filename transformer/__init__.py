"""The encoder-decoder Transformer of Vaswani et al. 2017, and what it takes to train and use it."""
