"""Where runs start: Cloud TPU, SLURM and Kubernetes, and the plan of a TPU run that needs no TPU."""
