"""Example sentences of the translator page."""

import pathlib

from experiments.serving.examples import Examples, choose_examples
from transformer.spec import Spec


def write_split(folder: pathlib.Path, french: list[str], english: list[str]) -> str:
    for language, lines in (("fr", french), ("en", english)):
        (folder / f"test.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(folder / "{split}.{language}")


def test_examples_are_short_distinct_test_pairs(small, tmp_path: pathlib.Path) -> None:
    long = " ".join(["mot"] * 15)
    french = [
        "Un.",
        "Un deux trois quatre.",
        long,
        "Un deux trois quatre.",
        "Le chat noir dort.",
        "a b c d",
        "e f g h",
        "i j k l",
    ]
    config = small(data__path=write_split(tmp_path, french, [line.upper() for line in french]))
    examples = choose_examples(Spec.from_config(config).data)
    assert examples.split == "test"
    sources = ["Un deux trois quatre.", "Le chat noir dort.", "a b c d", "e f g h"]
    assert [tuple(pair) for pair in examples.pairs] == [(source, source.upper()) for source in sources]


def test_a_missing_corpus_yields_no_examples(small, tmp_path: pathlib.Path) -> None:
    config = small(data__path=str(tmp_path / "absent" / "{split}.{language}"))
    assert choose_examples(Spec.from_config(config).data) == Examples()
