"""Prefixes of the parts of lines."""

from typing import Any

from experiments.runs.target_prefixes import TargetPrefixes
from transformer.decoding.translate import EMPTY, Translation


class Characters:
    """One id per character; 3 is unknown and stands for every character but lower-case letters and spaces."""

    @property
    def for_target(self) -> "Characters":
        return self

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [[ord(c) if c.islower() or c in " <>" else 3 for c in text] for text in texts]

    def decode(self, ids: list[int]) -> str:
        return "".join("⁇" if token == 3 else chr(token) for token in ids if token > 2)


def make(*prefixes: str, parts: list[int]) -> TargetPrefixes:
    tokenizer: Any = Characters()
    return TargetPrefixes(prefixes, parts, tokenizer)


def test_words_begin_the_first_part_and_language_codes_every_part() -> None:
    prefixes = make(" my cat ", ">>en<< it", "", parts=[2, 3, 1])
    decode = Characters().decode
    assert list(map(decode, prefixes.ids)) == ["my cat", "", ">>en<< it", ">>en<<", ">>en<<", ""]


def test_a_translation_has_the_prefix_as_it_was_given() -> None:
    prefixes = make("My cat", "a", "Zz", "", parts=[1, 1, 1, 1])
    tokens = tuple(Characters().encode_batch(["?y cat sleeps"])[0])
    replaced = tuple(Characters().encode_batch(["?z dort"])[0])
    translations = [
        [Translation("⁇y cat sleeps", -1.0, (*tokens, 2))],
        [EMPTY],
        [Translation("chien dort", -2.0, (*replaced, 2))],  # another word stands for the unknown one
        [Translation("as it is", -3.0, (97, 2))],
    ]
    texts = [items[0].text for items in prefixes.spell(translations)]
    assert texts == ["My cat sleeps", "", "Zz dort", "as it is"]
