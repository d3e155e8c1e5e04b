"""Tokenizers: SentencePiece, Marian's, and text normalisation."""
