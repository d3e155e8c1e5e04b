"""From sentence pairs to batches of token ids: corpus → tokenizer → tokenized → batching. Numpy only, no jax."""
