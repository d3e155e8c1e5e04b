"""Benchmarks; each command prints its measurements as JSON objects, one per line."""
