import dataclasses
import pickle
import re
import unicodedata

import pytest

from configs.base import get_config
from transformer.data.pairs import Pair, sample
from transformer.data.tokenizers import sentencepiece
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import BOS, EOS, PAD, UNK, DataSpec

FRENCH = "le chat noir dort sur la chaise près de l'œuvre\u00a0; où est le garçon\u202f? l’été  arrive déjà".split(" ")
ENGLISH = "the black cat sleeps on the chair near the work; where is the boy? it's summer already".split(" ")
TEXTS = [" ".join(words[i:] + words[:i]) for words in (FRENCH, ENGLISH) for i in range(len(words))]
SIZE = 61


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request) -> Tokenizer:
    return Tokenizer.train_from_texts(TEXTS, SIZE, request.param)


def test_special_ids_and_size(tokenizer):
    assert tokenizer.vocab_size == SIZE
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert tokenizer.pieces([PAD, BOS, EOS, UNK]) == ["<pad>", "<s>", "</s>", "<unk>"]


@pytest.mark.parametrize("text", [*TEXTS, "", " a", "a ", "a  b", "  ", "le chat noir", "déjà\u00a0;", "l'été l’été"])
def test_text_comes_back_as_it_was(tokenizer, text):
    ids = tokenizer.encode(text)
    assert not {PAD, BOS, EOS, UNK} & set(ids)
    assert tokenizer.decode(ids) == text


def test_text_is_not_composed(tokenizer):
    decomposed = unicodedata.normalize("NFD", "é")
    assert UNK in tokenizer.encode(decomposed)  # the training text contains no combining accent


@pytest.mark.parametrize("text", ["<s>", "</s>", "<pad>", "<unk>"])
def test_text_cannot_spell_a_special_symbol(tokenizer, text):
    assert not {PAD, BOS, EOS} & set(tokenizer.encode(text))


SPECIAL = ["<s> le chat dort </s>", "<s> la <unk> est grande </s>", "<pad> un <pad>", "<s></s>", "un chien court"]
# Characters that SentencePiece uses itself, or that it or Unicode treats specially.
SIZES = {("bpe", False): 62, ("bpe", True): 62, ("unigram", False): 55, ("unigram", True): 54}
RARE = "\u2581\u2585\t\n\r\u00a0\ufeff\u200b\u2028\u0301\u2047\ue000\ufffd\U0001f600\x01\uffff"


@pytest.mark.parametrize("uncased", [False, True])
@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_every_training_line_comes_back(model_type, uncased):
    texts = [*SPECIAL, *(f"le{character}chat {character} {character}{character}" for character in RARE)]
    trained = Tokenizer.train_from_texts(texts, SIZES[model_type, uncased], model_type, uncased)
    decoded = [trained.decode(trained.encode(text)) for text in texts]
    assert not any({PAD, BOS, EOS, UNK} & set(trained.encode(text)) for text in texts)
    expected = [text.replace("\u00a0", " ") for text in texts] if uncased else texts
    assert decoded == expected
    assert trained.pieces([PAD, BOS, EOS, UNK]) == ["<pad>", "<s>", "</s>", "<unk>"]
    again = Tokenizer.train_from_texts(texts[::-1], SIZES[model_type, uncased], model_type, uncased)
    assert again.fingerprint == trained.fingerprint


def test_a_sentence_that_is_too_long_to_train_on_is_covered(monkeypatch):
    monkeypatch.setattr(sentencepiece, "_LONGEST_SENTENCE", 40)
    texts = ["le chat noir", "un chien " * 9 + "œ"]
    trained = Tokenizer.train_from_texts(texts, 21, "bpe")
    assert [trained.decode(trained.encode(text)) for text in texts] == texts


def test_a_character_that_no_vocabulary_can_contain_is_refused():
    with pytest.raises(ValueError, match=r"data.tokenizer=bpe: no vocabulary can contain U\+0000 of the training text"):
        Tokenizer.train_from_texts(["le chat\0 dort", "un chien"], 19, "bpe")


@pytest.mark.parametrize("text", ["le chat", "漢字 le 漢", "été", "", " a  b ", "l’été 漢"])
def test_spans_of_tokens_divide_the_text(tokenizer, text):
    spans, ids = tokenizer.token_spans(text), tokenizer.encode(text)
    assert len(spans) == len(ids)
    assert "".join(text[start:end] for start, end in spans) == text
    assert [text[start:end] for start, end in tokenizer.unknown_spans(text)] == re.findall("漢字?", text)


def test_an_unknown_character_is_one_unk(tokenizer):
    assert tokenizer.encode("漢").count(UNK) == 1
    assert tokenizer.decode(tokenizer.encode("a漢b")) == "a⁇b"


def test_a_line_end_is_not_lost(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\nb")) == "a⁇b"


def test_decode_stops_at_eos_and_leaves_out_padding(tokenizer):
    cat, boy = tokenizer.encode("cat"), tokenizer.encode(" boy")
    assert tokenizer.decode([BOS, *cat, PAD, *boy, EOS, *cat, PAD]) == tokenizer.decode([*cat, *boy])
    assert tokenizer.decode([]) == ""


def test_decode_refuses_an_id_out_of_range(tokenizer):
    for token in (SIZE, -1):
        with pytest.raises(ValueError, match=rf"token id {token} is not in \[0, {SIZE}\)"):
            tokenizer.decode([5, token])


def test_a_batch_is_encoded_like_its_texts(tokenizer):
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_training_is_deterministic(model_type):
    models = [Tokenizer.train_from_texts(iter(TEXTS), SIZE, model_type).fingerprint for _ in range(3)]
    assert len(set(models)) == 1
    assert Tokenizer.train_from_texts(TEXTS[:-9], SIZE, model_type).fingerprint != models[0]


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.model")
    loaded = Tokenizer.load(tmp_path / "tokenizer.model")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert len(loaded.fingerprint) == 64
    assert loaded.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_a_missing_or_damaged_model_is_named(tokenizer, tmp_path, capfd):
    with pytest.raises(FileNotFoundError, match=r"none.model: no such tokenizer model"):
        Tokenizer.load(tmp_path / "none.model")
    tokenizer.save(tmp_path / "good.model")
    for data in (b"", b"nonsense", (tmp_path / "good.model").read_bytes()[:-100]):
        (tmp_path / "bad.model").write_bytes(data)
        with pytest.raises(ValueError, match=r"bad.model: not a SentencePiece model"):
            Tokenizer.load(tmp_path / "bad.model")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_the_largest_vocabulary_is_named_and_is_possible(model_type, capfd):
    message = r"data.vocab_size: 30000 pieces are more than the training text supports, at most (\d+)"
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.train_from_texts(TEXTS, 30_000, model_type)
    largest = int(re.search(message, str(caught.value)).group(1))  # type: ignore[union-attr]
    assert Tokenizer.train_from_texts(TEXTS, largest, model_type).vocab_size == largest
    with pytest.raises(ValueError, match=f"data.vocab_size: {largest + 1} pieces .* at most {largest}$"):
        Tokenizer.train_from_texts(TEXTS, largest + 1, model_type)
    assert capfd.readouterr() == ("", "")  # SentencePiece writes pages to standard error by default


def test_the_smallest_vocabulary_is_named_and_is_possible():
    message = r"data.vocab_size: 7 pieces are fewer than its characters, at least (\d+)"
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.train_from_texts(TEXTS, 7, "bpe")
    least = int(re.search(message, str(caught.value)).group(1))  # type: ignore[union-attr]
    assert Tokenizer.train_from_texts(TEXTS, least, "bpe").vocab_size == least


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_text_is_an_error(texts):
    with pytest.raises(ValueError, match="no training text"):
        Tokenizer.train_from_texts(texts, SIZE, "bpe")


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_a_vocabulary_does_not_depend_on_the_order_of_texts(model_type):
    # Which is why both directions of a corpus have the same.
    orders = (TEXTS, TEXTS[::-1], TEXTS[1::2] + TEXTS[::2])
    assert len({Tokenizer.train_from_texts(texts, SIZE, model_type).fingerprint for texts in orders}) == 1


def test_the_vocabulary_is_trained_on_a_sample():
    pairs = [Pair(*words) for words in zip(FRENCH, ENGLISH, strict=False)]
    spec = DataSpec.from_config({**get_config().to_dict()["data"], "vocab_size": 41, "vocab_sentences": 2 * 11})
    chosen = [text for pair in sample(pairs, 11) for text in pair]
    every = [text for pair in pairs for text in pair]
    assert len(chosen) == 22 < len(every)
    some, all_of_them = (Tokenizer.train_from_texts(texts, 41, "bpe").fingerprint for texts in (chosen, every))
    assert some != all_of_them
    assert Tokenizer.train(pairs, spec).fingerprint == some
    assert Tokenizer.train([Pair(target, source) for source, target in pairs], spec).fingerprint == some
    many = dataclasses.replace(spec, vocab_sentences=4_000_000)
    assert Tokenizer.train(pairs, many).fingerprint == all_of_them


def test_a_pickled_tokenizer_is_the_same(tokenizer):
    assert pickle.loads(pickle.dumps(tokenizer)).encode_batch(TEXTS, threads=1) == tokenizer.encode_batch(TEXTS)
