"""The width of padded source sentences, on which the search, its compilation and learned positions depend."""


def padded_width(length: int) -> int:
    """Returns the width to which a search pads a source: the smallest power of two that is at least `length` and 16.

    The number of widths is small because a search is compiled for each of them, which takes longer than the padding
    costs: a search encodes the source once, and a narrower source shortens none of its steps.
    """
    return max(16, 1 << (length - 1).bit_length())
