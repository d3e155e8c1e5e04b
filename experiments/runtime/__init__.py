"""What every command stands on: flags and exit statuses, JAX's environment, processes, signals, leases and progress."""
