"""From sentence pairs to batches of token ids: corpus → tokenizers → token_dataset → batches. NumPy only, no JAX."""
