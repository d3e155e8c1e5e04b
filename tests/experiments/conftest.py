"""A corpus and a config small enough to train in seconds."""

import importlib
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from transformer.spec import Spec

NUMBERS = {
    "un": "one",
    "deux": "two",
    "trois": "three",
    "quatre": "four",
    "cinq": "five",
    "six": "six",
    "sept": "seven",
}


def _line(number: int, length: int) -> list[str]:
    words = list(NUMBERS)
    return [words[(number * 5 + place * (1 + number % 3)) % len(words)] for place in range(length)]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Parallel files of number words, aligned word for word; returns the path with {split} and {language}."""
    folder = tmp_path_factory.mktemp("corpus")
    for split, first, count in (("train", 0, 61), ("validation", 100, 7), ("test", 200, 5)):
        lines = [_line(first + number, 2 + number % 5) for number in range(count)]
        french = "".join(" ".join(line).capitalize() + ".\n" for line in lines)
        english = "".join(" ".join(NUMBERS[word] for word in line).capitalize() + ".\n" for line in lines)
        (folder / f"{split}.fr").write_text(french, encoding="utf-8")
        (folder / f"{split}.en").write_text(english, encoding="utf-8")
    return folder / "{split}.{language}"


@pytest.fixture(scope="session")
def small(corpus: pathlib.Path) -> Callable[..., dict[str, Any]]:
    """Builds small configs from the base config, with changes by key, as nested dicts."""

    def make(**changes: Any) -> dict[str, Any]:
        config = importlib.import_module("configs.base").get_config()
        sizes = {
            "model.d_model": 12, "model.d_ff": 17, "model.heads": 3, "model.encoder_layers": 1,
            "model.decoder_layers": 1, "data.source": "files", "data.name": "", "data.path": str(corpus),
            "data.vocab_size": 43, "data.max_length": 23, "data.tokens_per_batch": 97, "data.buckets": 1,
            "train.steps": 6, "train.warmup_steps": 2, "train.log_every": 2, "train.average_checkpoints": 2,
            "decode.beam_size": 2, "decode.max_extra_length": 5, "decode.batch_size": 4,
            "evaluate.every": 3, "evaluate.sentences": 5, "evaluate.samples": 1,
            "checkpoint.every": 3, "checkpoint.keep": 2,
        }  # fmt: skip
        config.update_from_flattened_dict(sizes | {key.replace("__", "."): value for key, value in changes.items()})
        return config.to_dict()

    return make


@pytest.fixture(scope="session")
def trained(small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a finished run."""
    from experiments.runs.execute import train_and_test

    folder = tmp_path_factory.mktemp("runs") / "trained"
    train_and_test(Spec.from_config(small()), str(folder))
    return folder


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Callable[[str], Callable[[], None]]:
    """Counts a fault as tried; the returned function counts it as survived. The summary prints a table of both."""

    def record_fault(name: str) -> Callable[[], None]:
        record = [name, False]
        request.node.user_properties.append(("fault", record))  # properties reach the report from other processes, too

        def record_survival() -> None:
            record[1] = True

        return record_survival

    return record_fault


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table: dict[str, list[bool]] = {}
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for kind, record in report.user_properties if report.when == "call" else ():
            if kind == "fault":
                table.setdefault(record[0], []).append(record[1])
    if table:
        terminalreporter.section("faults")
        terminalreporter.line("| fault | tried | survived |")
        terminalreporter.line("|---|---|---|")
        for fault, outcomes in sorted(table.items()):
            terminalreporter.line(f"| {fault} | {len(outcomes)} | {sum(outcomes)} |")
