"""Analysis of trained models: attention, heads and forced decoding."""
