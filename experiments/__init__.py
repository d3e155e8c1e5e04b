"""Commands, and the packages behind them."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_ROOT = str(Path(__file__).resolve().parents[1])
_PACKAGES = ("configs", "launch", "transformer")


class _ProjectFinder:
    """Finds the other packages of this project next to this one.

    Python looks into the working folder first, where a user's project may have a package `configs` of its own.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Returns where a package of this project is; None for all others."""
        return PathFinder.find_spec(name, [_ROOT], target) if name in _PACKAGES else None


sys.meta_path.insert(0, _ProjectFinder)
