"""The process-level base of every command: flags, exit statuses, JAX's environment, signals, leases and progress."""
