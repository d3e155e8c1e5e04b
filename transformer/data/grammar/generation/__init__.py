"""Samples derivations from one `RandomStream`: which sentences occur, and how often."""
