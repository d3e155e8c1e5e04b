import io
import json
import pathlib
import pickle
from typing import Any

import pytest
import sentencepiece

from transformer.data.pairs import Pair
from transformer.data.token_dataset import tokenize
from transformer.data.tokenizers.marian import MarianTokenizer, load_tokenizer
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import BOS, EOS, PAD, UNK

FRENCH = [f"{a} {b} {c}." for a in ("un", "deux") for b in ("chats", "chiens") for c in ("noirs", "gris")]
ENGLISH = [f"{a} {b} {c}." for a in ("one", "two") for b in ("black", "grey") for c in ("cats", "dogs")]


def train(texts: list[str], size: int) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=size, model_type="unigram", minloglevel=2
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    return train(FRENCH, 20), train(ENGLISH, 20)


@pytest.fixture(scope="module")
def ids(models: tuple[bytes, bytes]) -> dict[str, int]:
    pieces: dict[str, None] = {}
    for model in models:
        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(model)
        pieces |= dict.fromkeys(processor.id_to_piece(token) for token in range(3, processor.get_piece_size()))
    ordered = ["<pad>", "<s>", "</s>", "<unk>", ">>fra<<", *pieces]
    return {piece: token for token, piece in enumerate(ordered)}


@pytest.fixture(scope="module")
def tokenizer(models: tuple[bytes, bytes], ids: dict[str, int]) -> MarianTokenizer:
    return MarianTokenizer.pack(*models, ids)


def test_each_side_is_encoded_by_its_own_model(tokenizer: MarianTokenizer, models: tuple[bytes, bytes]) -> None:
    for side, model, text in ((tokenizer, models[0], FRENCH[3]), (tokenizer.for_target, models[1], ENGLISH[5])):
        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(model)
        assert side.pieces(side.encode(text)) == processor.encode(text, out_type=str)
        assert tokenizer.decode([BOS, *side.encode(text), EOS, 7, PAD]) == text
    assert tokenizer.encode(ENGLISH[5]) != tokenizer.for_target.encode(ENGLISH[5])
    pairs = tokenize([Pair(FRENCH[3], ENGLISH[5])], tokenizer, None)
    assert pairs.source.sentence(0).tolist() == [*tokenizer.encode(FRENCH[3]), EOS]
    assert pairs.target.sentence(0).tolist() == [*tokenizer.for_target.encode(ENGLISH[5]), EOS]


def test_spans_of_tokens_begin_with_the_language_code(tokenizer: MarianTokenizer) -> None:
    text = ">>fra<< un Ω chats"
    spans = tokenizer.token_spans(text)
    assert [token for token, span in zip(tokenizer.encode(text), spans, strict=True) if span == (0, 7)] == [4]
    assert [text[start:end] for start, end in tokenizer.unknown_spans(text)] == ["Ω"]


def test_a_piece_without_an_id_is_unknown_and_a_language_code_is_a_token(tokenizer: MarianTokenizer) -> None:
    assert UNK in tokenizer.encode("Ω")
    assert "⁇" in tokenizer.decode(tokenizer.encode("un Ω"))
    assert tokenizer.encode(">>fra<< un chats")[0] == 4
    assert tokenizer.encode(">>fra<< un")[1:] == tokenizer.encode("un")
    assert 4 not in tokenizer.encode(">>eng<< un")
    assert tokenizer.encode_batch(["un", "", "deux"]) == [tokenizer.encode("un"), [], tokenizer.encode("deux")]
    assert tokenizer.encode_batch([]) == []
    with pytest.raises(ValueError, match="not in"):
        tokenizer.decode([tokenizer.vocab_size])


def test_source_text_begins_with_the_default_code(models: tuple[bytes, bytes], ids: dict[str, int]) -> None:
    ids = ids | {">>deu<<": len(ids)}
    plain, coded = (MarianTokenizer.pack(*models, ids, code) for code in ("", ">>deu<<"))
    assert coded.fingerprint != plain.fingerprint
    again = pickle.loads(pickle.dumps(coded))
    assert again.encode("un chats") == [ids[">>deu<<"], *plain.encode("un chats")]
    assert again.encode(">>fra<< un") == plain.encode(">>fra<< un")
    assert again.token_spans("un") == [(0, 0), *plain.token_spans("un")]
    assert again.unknown_spans("un Ω") == plain.unknown_spans("un Ω") != []
    assert again.for_target.encode(ENGLISH[0]) == plain.for_target.encode(ENGLISH[0])
    pairs = tokenize([Pair("un", ENGLISH[0]), Pair(" ", ENGLISH[0])], again, None)
    assert pairs.positions.tolist() == [0]


def test_it_is_saved_in_one_file(tokenizer: MarianTokenizer, ids: dict[str, int], tmp_path: pathlib.Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.model")
    again = load_tokenizer(tmp_path / "tokenizer.model")
    assert isinstance(again, MarianTokenizer)
    assert again.fingerprint == tokenizer.fingerprint == MarianTokenizer.pack(*tokenizer.models, ids).fingerprint
    copy = pickle.loads(pickle.dumps(tokenizer.for_target))
    assert copy.encode(ENGLISH[0]) == tokenizer.for_target.encode(ENGLISH[0])
    plain = Tokenizer.train_from_texts(FRENCH, 25, "bpe")
    plain.save(tmp_path / "plain.model")
    assert type(load_tokenizer(tmp_path / "plain.model")) is Tokenizer
    assert plain.for_target is plain
    (tmp_path / "broken.model").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"broken\.model: not an archive of source\.spm"):
        load_tokenizer(tmp_path / "broken.model")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_tokenizer(tmp_path / "nowhere")


def test_tokens_are_those_of_transformers(
    tokenizer: MarianTokenizer, models: tuple[bytes, bytes], ids: dict[str, int], tmp_path: pathlib.Path
) -> None:
    transformers: Any = pytest.importorskip("transformers", reason="needs the extra `interop`")
    for name, model in zip(("source.spm", "target.spm"), models, strict=True):
        (tmp_path / name).write_bytes(model)
    (tmp_path / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    theirs = transformers.MarianTokenizer.from_pretrained(tmp_path)
    for text in [*FRENCH, "  un  chats noirs ", ">>fra<< deux chiens", "Ω un", "un\u00a0chats", ENGLISH[0]]:
        assert theirs(text).input_ids == [*tokenizer.encode(text), EOS], text
        assert theirs(text_target=text)["input_ids"] == [*tokenizer.for_target.encode(text), EOS], text
    for text in ENGLISH:
        target_ids = [*tokenizer.for_target.encode(text), EOS]
        assert theirs.decode(target_ids, skip_special_tokens=True) == tokenizer.decode(target_ids)
