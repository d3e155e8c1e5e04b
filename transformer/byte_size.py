"""Formats byte counts for messages."""


def format_bytes(count: float) -> str:
    """Returns a byte count in GiB with two decimals, or in MiB with one decimal if it is less than 1 GiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
