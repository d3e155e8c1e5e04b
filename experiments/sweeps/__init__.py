"""Sweeps and searches: their cells, the scheduler that trains them, and the report."""
