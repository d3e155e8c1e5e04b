"""One training run and its folder: building it, training, scoring, loading and exporting."""
