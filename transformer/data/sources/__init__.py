"""Where sentence pairs come from: text files, TFDS, Multi30k and the generated corpus."""
