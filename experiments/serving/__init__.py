"""A translator that others open: compiled programs, a queue that batches requests, an API, and a page."""
