"""Batches of token ids: buckets, packing, training order and evaluation order."""
