"""Launchers for Cloud TPU, SLURM and Kubernetes, and a planner for TPU runs that needs no TPU."""
