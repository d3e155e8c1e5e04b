"""Lines that are too long, in parts."""

from typing import Any

import pytest
import sentencepiece

from experiments.runs.long_lines import (
    LongLineTranslator,
    check_pair_lengths,
    max_input_tokens,
    max_pair_tokens,
    split_line,
)
from transformer.data.pairs import Pair
from transformer.data.token_dataset import encode_pairs
from transformer.data.tokenizers.input_text import InputText
from transformer.data.tokenizers.marian import MarianTokenizer
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


def test_a_line_is_read_before_it_is_split(warnings):
    tokenizer = Tokenizer.train_from_texts(["Un deux. Trois quatre cinq."], 23, "bpe")
    translator: Any = Words()
    lines = ["Un\u00a0deux.\u2028Trois quatre.", "Un \u6f22.", "\u00a0"]
    translations = LongLineTranslator(translator, tokenizer, 14, warnings.append, InputText(tokenizer)).translate(lines)
    assert [best.text for best, *_ in translations] == ["UN DEUX.0 TROIS QUATRE.0", "UN \u6f22.0", ""]
    assert [warning.split(":")[0] for warning in sorted(warnings)][1:] == ["line 2"]
    assert "漢 (U+6F22)" in sorted(warnings)[1]


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


def test_the_language_code_begins_every_part():
    words: Any = Words()
    line = ">>fr<< un deux. Trois quatre cinq six."
    assert split_line(line, 4, words) == [">>fr<< un deux.", ">>fr<< Trois quatre cinq", ">>fr<< six."]
    assert split_line(line, 0, words) == [line]


def test_a_line_that_cannot_be_split_is_named():
    characters: Any = Words()
    characters.encode = lambda text: [character for character in text for _ in range(3)]
    with pytest.raises(ValueError, match=r"^line 8: 'a' by itself has 3 tokens, more than 2$"):
        LongLineTranslator(characters, characters, 2).translate(["", "aa"], first=7)


def test_the_limit_of_a_pair_is_a_batch_or_the_number_of_learned_positions(small):
    assert max_pair_tokens(Spec.from_config(small())) == 97
    learned = small(model__decoder_positions="learned", model__max_positions=64)
    assert max_pair_tokens(Spec.from_config(learned)) == 64


def test_the_first_pair_that_is_too_long_is_named_with_its_lengths():
    tokenizer = Tokenizer.train_from_texts(["ab ba", "ba ab"], 8, "bpe")
    pairs = [Pair("a", "b"), Pair("", "a"), Pair("a" * 7, "b"), Pair("a", "b" * 8), Pair("b", "a" * 9)]
    tokenized = encode_pairs(pairs, range(5), tokenizer, None)
    source, target = tokenized.lengths
    check_pair_lengths(tokenized, max(source[1], *target), str)
    lengths = f"{source[2]} and {target[2]}"
    with pytest.raises(ValueError, match=rf"^line 3: the pair has {lengths} tokens.* at most 9 of a side \(1 other"):
        check_pair_lengths(tokenized, 9, lambda index: f"line {index}")


def test_the_token_of_the_language_code_begins_every_part_of_a_marian_model():
    model = Tokenizer.train_from_texts(["un chat. Deux chats."], 16, "unigram").models[0]
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = ["<pad>", "<s>", "</s>", "<unk>", ">>fr<<", *(processor.id_to_piece(id) for id in range(4, 16))]
    tokenizer = MarianTokenizer.pack(model, model, {piece: number for number, piece in enumerate(pieces)})
    parts = split_line(">>fr<< " + "un chat. Deux chats. " * 9, 30, tokenizer)
    assert len(parts) > 3
    for ids in tokenizer.encode_batch(parts):
        assert ids[0] == 4
        assert len(ids) <= 30
