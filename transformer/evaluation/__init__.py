"""Evaluation of translations: scores against references, and significance of their differences."""
