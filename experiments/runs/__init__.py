"""One training run and its folder: build it, train it, score it, load it again."""
