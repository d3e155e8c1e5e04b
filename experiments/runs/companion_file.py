"""Files whose lines belong to the lines of standard input, and pairs of lines."""

from collections.abc import Sequence

from transformer.data.pairs import Pair
from transformer.data.sources.text_files import LazyLines


class CompanionFile:
    """A file whose line i belongs to line i of standard input.

    Args:
      flag: the flag that names the file, for messages.
      path: the file, plain or compressed.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty or damaged.
    """

    def __init__(self, flag: str, path: str) -> None:
        self._name = f"{flag}={path}"
        self._lines = LazyLines(path)

    def take(self, first: int, count: int) -> list[str]:
        """Returns `count` lines from line `first` on, counted from 1; raises ValueError if the file has fewer."""
        if first - 1 + count > len(self._lines):
            raise ValueError(f"{self._name} has {len(self._lines)} lines, and standard input has more")
        return self._lines.take(range(first - 1, first - 1 + count))

    def check_size(self, size: int) -> None:
        """Raises ValueError unless the file has `size` lines, as standard input."""
        if size != len(self._lines):
            raise ValueError(f"{self._name} has {len(self._lines)} lines, and standard input has {size}")


def split_pairs(lines: Sequence[str], first: int) -> tuple[list[Pair], ValueError | None]:
    """Splits lines of source, tab, target.

    Args:
      lines: the lines.
      first: number of the first line, for messages.

    Returns:
      The pairs before the first line that has no tab or several, and the error of that line.
    """
    pairs = []
    for number, line in enumerate(lines, first):
        fields = line.split("\t")
        if len(fields) != 2:
            return pairs, ValueError(
                f"standard input, line {number}: {len(fields) - 1} tabs; --score reads source, tab, translation; "
                "with --target=FILE, only the source"
            )
        pairs.append(Pair(*fields))
    return pairs, None
