"""Plans for TPU slices: ahead-of-time compilation, memory, FLOPs and least time."""
