"""Unknown words in outputs, with a vocabulary of words."""

import re
from collections.abc import Sequence

import numpy as np
import pytest

from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.unknown_words import UnknownWords
from transformer.spec import EOS, UNK

TEXTS = ["le chat de dort.", "the cat of is sleeping, here", "我们 ⁇ Wa"]
TOKENIZER = Tokenizer.train_from_texts(TEXTS, 43, "bpe")
SOURCE = "le chat de Łódź, dort 漢字."
SOURCE_IDS = TOKENIZER.encode(SOURCE)


def target(text: str) -> list[int]:
    """The ids of a translation in which "#" stands for UNK."""
    ids = TOKENIZER.encode(text.replace("#", "Ω"))
    assert ids.count(UNK) == len(re.findall("#+", text))
    return [*ids, EOS]


def tokens_of(word: str) -> list[int]:
    """The indices of the tokens of a word of the source."""
    start, spans = SOURCE.index(word), TOKENIZER.token_spans(SOURCE)
    return [index for index, span in enumerate(spans) if span[0] < start + len(word) and start < span[1]]


def attending_to(word: str):
    """Attention of every target token: most to EOS, then to all tokens of one word together, then to single tokens."""

    def attention(source: Sequence[int], target: Sequence[int]) -> np.ndarray:
        weights_S = np.full(len(source) + 1, 0.02)
        weights_S[tokens_of(word)] = 0.3 / len(tokens_of(word))
        weights_S[-1] = 0.5
        return np.tile(weights_S, (len(target), 1))

    return attention


def unknown_words(policy: str, attention=lambda source, target: None) -> UnknownWords:
    return UnknownWords(TOKENIZER, policy, attention, lambda text: text if text.startswith("漢") else None)


@pytest.mark.parametrize("word", ["Łódź", "漢字", "chat"])
def test_the_source_word_with_most_attention_is_copied(word: str) -> None:
    decode = unknown_words("copy", attending_to(word)).decode
    assert decode(SOURCE, SOURCE_IDS, target("the cat of # is sleeping")) == f"the cat of {word} is sleeping"
    assert decode(SOURCE, SOURCE_IDS, target("#.")) == f"{word}."


def test_a_word_with_an_unknown_part_is_one_word() -> None:
    decode = unknown_words("copy", attending_to("Łódź")).decode
    assert decode(SOURCE, SOURCE_IDS, target("the Wa#sa, here")) == "the Łódź, here"
    assert decode(SOURCE, SOURCE_IDS, target("我#们")) == "我Łódź们"  # without spaces, only the character


def test_the_word_of_each_position_is_copied() -> None:
    def attention(source: Sequence[int], target: Sequence[int]) -> np.ndarray:
        weights_TS = np.zeros((len(target), len(source) + 1))
        for row, word in zip([i for i, token in enumerate(target) if token == UNK], ["漢字", "Łódź"], strict=True):
            weights_TS[row, tokens_of(word)] = 1
        return weights_TS

    decode = unknown_words("copy", attention).decode
    assert decode(SOURCE, SOURCE_IDS, target("# is #")) == "漢字 is Łódź"


def test_without_attention_unknown_words_are_copied_in_order() -> None:
    decode = unknown_words("copy").decode
    assert decode(SOURCE, SOURCE_IDS, target("the # of # is # here")) == "the Łódź of 漢字 is here"


@pytest.mark.parametrize(
    ("text", "shown", "dropped"),
    [
        ("the # is sleeping.", "the ⁇ is sleeping.", "the is sleeping."),
        ("# is", "⁇ is", "is"),
        ("the cat #.", "the cat ⁇.", "the cat."),
        ("the cat #", "the cat ⁇", "the cat"),
        ("the Wa#sa", "the Wa⁇sa", "the"),
        ("⁇ the #", "⁇ the ⁇", "⁇ the"),  # the first is the character itself
        ("the cat", "the cat", "the cat"),
    ],
)
def test_unknown_words_are_shown_or_dropped(text: str, shown: str, dropped: str) -> None:
    for policy, expected in (("show", shown), ("drop", dropped)):
        decoder = unknown_words(policy).decoder(SOURCE, SOURCE_IDS)
        assert decoder.decode(target(text)) == expected


def test_attention_is_not_computed_without_need() -> None:
    def unused(source: Sequence[int], target: Sequence[int]) -> np.ndarray:
        raise AssertionError

    assert unknown_words("copy", unused).decode(SOURCE, SOURCE_IDS, target("the ⁇ cat")) == "the ⁇ cat"
    for policy in ("show", "drop"):
        unknown_words(policy, unused).decode(SOURCE, SOURCE_IDS, target("the # cat"))


def test_language_codes_are_not_copied() -> None:
    source = ">>fra<< Łódź"
    ids = TOKENIZER.encode(source)

    def attention(source_ids: Sequence[int], target_ids: Sequence[int]) -> np.ndarray:
        return np.tile(np.arange(len(source_ids) + 1)[::-1], (len(target_ids), 1))

    assert unknown_words("copy", attention).decode(source, ids, target("the #")) == "the Łódź"


def test_a_source_without_a_known_word_is_not_translated() -> None:
    source = "漢 字"
    ids = TOKENIZER.encode(source)
    outputs = [unknown_words(policy).translate(source, ids) for policy in ("copy", "show", "drop")]
    assert outputs == [source, "⁇ ⁇", ""]
    assert unknown_words("copy").translate(SOURCE, SOURCE_IDS) is None
    assert unknown_words("copy").translate("漢", TOKENIZER.encode("le")) is None


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown: 'keep' is not one of copy, show, drop"):
        unknown_words("keep")
