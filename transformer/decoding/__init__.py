"""Decoding: search over `Seq2Seq.step`, and translation of text with it."""
