"""HTML pages: their frame, style and scripts, and Markdown tables."""
