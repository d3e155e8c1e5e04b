"""Lines that are too long, in parts."""

import dataclasses
from typing import Any

import pytest

from experiments.runs.long_lines import LongLineTranslator, max_input_tokens
from transformer.decoding.translate import EMPTY, Translation
from transformer.spec import Spec


class Words:
    """A tokenizer with one token per word, and a translator into capitals."""

    def encode(self, text):
        return text.split()

    def translate(self, sentences, n_best):
        made = [
            [Translation(f"{text.upper()}{rank}", -1.0 - rank, (7,)) for rank in range(n_best)] for text in sentences
        ]
        return [each if text.strip() else [EMPTY] for text, each in zip(sentences, made, strict=True)]


@pytest.fixture
def warnings():
    return []


def line_translator(limit, warnings) -> LongLineTranslator:
    words: Any = Words()
    return LongLineTranslator(words, words, limit, warnings.append)


def test_a_line_split_into_parts_gives_one_line_and_a_warning(warnings):
    lines = ["un deux", "", "un. Deux trois. Quatre cinq six sept.", " "]
    translations = line_translator(3, warnings).translate(lines, 2, first=5)
    assert [[each.text for each in best] for best in translations] == [
        ["UN DEUX0", "UN DEUX1"],
        [""],
        ["UN. DEUX TROIS.0 QUATRE CINQ SIX0 SEPT.0", "UN. DEUX TROIS.1 QUATRE CINQ SIX1 SEPT.1"],
        [""],
    ]
    assert translations[2][1].score == -6.0
    (warning,) = warnings
    assert warning.startswith(
        "line 7 has 7 tokens, and the model was trained on at most 3: it is translated in 3 parts"
    )


def test_without_a_limit_no_line_is_split(warnings):
    assert line_translator(0, warnings).translate(["un. Deux. Trois."])[0][0].text == "UN. DEUX. TROIS.0"
    assert warnings == []


def test_the_limit_is_that_of_training_and_of_learned_positions(small):
    spec = Spec.from_config(small(data__max_length=100, data__tokens_per_batch=100, decode__max_extra_length=50))
    assert max_input_tokens(spec) == 99  # the end symbol is a token, too
    learned = dataclasses.replace(spec.model, positions="learned", max_positions=512)
    assert max_input_tokens(dataclasses.replace(spec, model=learned)) == 99
    fewer = dataclasses.replace(learned, max_positions=130)  # not a width of 128 and 50 more, but one of 64
    assert max_input_tokens(dataclasses.replace(spec, model=fewer)) == 63
    decoder = dataclasses.replace(spec.model, decoder_positions="learned", max_positions=70)
    assert max_input_tokens(dataclasses.replace(spec, model=decoder)) == 15
