"""Models of other libraries: what of theirs is what of ours."""
