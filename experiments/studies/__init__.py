"""Studies of trained runs: attention, heads, word alignment, grammatical phenomena, training, and pairs of runs."""
