"""Every architecture learns to copy and to reverse strings of digits that it has never seen; some minutes each."""

import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs.execute import train_and_test
from transformer.models.build import ARCHITECTURES
from transformer.spec import Spec

TASKS: dict[str, Callable[[list[str]], list[str]]] = {
    "copy": lambda digits: digits,
    "reverse": lambda digits: digits[::-1],
}

SIZES: dict[str, dict[str, Any]] = {
    "transformer": {"model__heads": 4, "model__encoder_layers": 2, "model__decoder_layers": 2},
    "rnnsearch": {"model__heads": 1, "model__cross_score": "additive", "model__cell": "gru"},
    "seq2seq": {"model__heads": 1, "model__d_model": 128},
}


def write(folder: pathlib.Path, task: Callable[[list[str]], list[str]]) -> str:
    """Writes strings of 2 to 9 digits; no string of training is in the test split."""
    chance, seen = random.Random(0), set()
    for split, count in (("train", 20_000), ("validation", 200), ("test", 500)):
        strings = []
        while len(strings) < count:
            digits = tuple(chance.choices("0123456789", k=chance.randint(2, 9)))
            if split == "train" or digits not in seen:
                strings.append(list(digits))
            if split == "train":
                seen.add(digits)
        for language, change in (("fr", list), ("en", task)):
            text = "".join(" ".join(change(digits)) + "\n" for digits in strings)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return str(folder / "{split}.{language}")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_learns(small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, architecture: str, task: str) -> None:
    changes: dict[str, Any] = {
        "model__architecture": architecture, "model__d_model": 64, "model__d_ff": 128,
        "model__dropout_embedding": 0.0, "model__dropout_sublayer": 0.0,
        "data__path": write(tmp_path, TASKS[task]), "data__vocab_size": 25, "data__tokens_per_batch": 1024,
        "data__examine": "off",  # a copy is not a translation
        "train__optimizer": "muon", "train__learning_rate": 5e-3, "train__warmup_steps": 100,
        "train__schedule": "linear",
        "train__steps": 1000, "train__clip_norm": 1.0, "train__log_every": 250, "train__average_checkpoints": 1,
        "evaluate__every": 1000, "checkpoint__every": 1000, "decode__batch_size": 64,
    }  # fmt: skip
    config = small(**changes | SIZES[architecture])
    train_and_test(Spec.from_config(config), str(tmp_path / "run"))
    steps = config["train"]["steps"]
    translations = (tmp_path / f"run/translations/test.{steps}.txt").read_text(encoding="utf-8").splitlines()
    expected = (tmp_path / "test.en").read_text(encoding="utf-8").splitlines()
    right = sum(translation == reference for translation, reference in zip(translations, expected, strict=True))
    assert right / len(expected) > 0.95
