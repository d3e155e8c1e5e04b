"""Training: optimizer, step, partitioning over devices, checkpoints and the training loop."""
