"""Sources of sentence pairs: text files, TFDS, Multi30k and the generated corpus."""
