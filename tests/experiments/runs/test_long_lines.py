"""Lines that are too long, in parts."""

from typing import Any

import pytest

from experiments.runs.long_lines import LongLineTranslator, max_input_tokens
from transformer.data.tokenizers.sentencepiece import Tokenizer
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
        return [translation if text.strip() else [EMPTY] for text, translation in zip(sentences, made, strict=True)]


@pytest.fixture
def warnings():
    return []


def line_translator(limit, warnings) -> LongLineTranslator:
    words: Any = Words()
    return LongLineTranslator(words, words, limit, warnings.append)


def test_a_line_split_into_parts_gives_one_line_and_a_warning(warnings):
    lines = ["un deux", "", "un. Deux trois. Quatre cinq six sept.", " "]
    translations = line_translator(3, warnings).translate(lines, 2, first=5)
    assert [[translation.text for translation in best] for best in translations] == [
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


def test_the_limit_is_that_of_training(small):
    spec = Spec.from_config(small(data__max_length=100, data__tokens_per_batch=100, decode__max_extra_length=50))
    assert max_input_tokens(spec) == 99  # the end symbol is a token, too


@pytest.mark.parametrize("character", "…'")
def test_a_line_with_more_tokens_than_characters_is_split(warnings, character):
    """An uncased vocabulary turns an ellipsis into three full stops, and adds a space to an apostrophe."""
    texts = ["l'un ... l'autre.", "deux, l'un... trois."]
    tokenizer = Tokenizer.train_from_texts(texts, 21, "bpe", uncased=True)
    line, limit = f"un {character * 59}", 70
    assert len(line) < limit < len(tokenizer.encode(line))
    parts = []

    class Recorder:
        def translate(self, sentences, n_best):
            parts.extend(sentences)
            return [[Translation(text, 0.0, ())] for text in sentences]

    translator: Any = Recorder()
    LongLineTranslator(translator, tokenizer, limit, warnings.append).translate([line, "un"])
    assert len(parts) > 2
    assert max(len(tokenizer.encode(part)) for part in parts) <= limit
    assert len(warnings) == 1
