"""Programs that train or decode with one library each, in the library's own virtual environment."""
