"""The translation server: compiled programs, a queue that batches requests, an HTTP API and its pages."""
