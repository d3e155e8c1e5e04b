"""A peer that copies its input instead of translating it; with an argument, in capitals."""

import sys
from collections.abc import Callable
from typing import Any

from experiments.benchmark.peers import worker


def make_translator(settings: dict[str, Any]) -> tuple[dict[str, str], Callable[[list[str]], list[str]]]:
    def translate(lines: list[str]) -> list[str]:
        print("output of a library")
        return [line.upper() if sys.argv[2:] else line for line in lines]

    return {"copying": str(settings["beam_size"])}, translate


if __name__ == "__main__":
    worker.serve_translator(make_translator)
