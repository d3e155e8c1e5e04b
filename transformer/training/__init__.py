"""Turning batches into parameters."""
