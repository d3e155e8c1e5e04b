"""Damaged folders of pretrained models: one line that names the file or the entry."""

import dataclasses
import io
import json
import pathlib
import pickle
import zipfile
from typing import Any

import jax
import numpy as np
import pytest

from experiments.runs.pretrained import PretrainedModel, load_pretrained
from tests.interop.conftest import ENGLISH, FRENCH, SPEC, small
from transformer.data.tokenizers import marian
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop.marian import folder

MODEL = small()
MODEL_RUN = dataclasses.replace(SPEC, model=dataclasses.replace(MODEL.spec, decoder_positions=None))
CHECKS: dict[str, Any] = {  # entry of config.json → value
    "d_model": ["128", 15, 10**12, None, True, -14, 14.0],
    "encoder_layers": ["two", 10**9, None, [1]],
    "encoder_attention_heads": [0, 3, {}],
    "encoder_ffn_dim": [18, "x"],
    "vocab_size": [10**12, 7, "53", None],
    "pad_token_id": [-1, 10**6, "0", None, 1.5],
    "activation_function": [None, ["relu"], 3],
    "scale_embedding": ["yes", 1],
    "share_encoder_decoder_embeddings": [False, "no"],
    "model_type": [None, []],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The content of a valid folder."""
    pytest.importorskip("safetensors", reason="needs the extra `interop`")
    path = tmp_path_factory.mktemp("valid")
    tokenizer = Tokenizer.train_from_texts(FRENCH + ENGLISH, 53, "bpe")
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    folder.write(path, MODEL.flat, MODEL.spec, SPEC.decode, 40, pieces, tokenizer.models, ("fr", "en"))
    return {file.name: file.read_bytes() for file in path.iterdir()}


def load(path: pathlib.Path, files: dict[str, bytes], *allowed: str) -> PretrainedModel:
    for name, content in files.items():
        (path / name).write_bytes(content)
    return load_pretrained(str(path), MODEL_RUN, allowed=["model", *allowed])


def test_a_valid_folder_loads(tmp_path: pathlib.Path, files: dict[str, bytes]) -> None:
    load(tmp_path, files)


def test_a_folder_that_is_missing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"someone/opus: no such folder; a model of the hub is hf:someone/opus$"
    ):
        load_pretrained("someone/opus", MODEL_RUN)
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder$"):
        load_pretrained("nowhere", MODEL_RUN)


@pytest.mark.parametrize(
    ("languages", "fits"),
    [
        (("fr", "en"), True),
        (("en", "fr"), False),
        (("fr", "de"), False),
        (("ROMANCE", "en"), True),
        (("fra", "eng"), True),
        (("fra", "deu"), False),
        (("mul", "de"), False),
        (("", ""), True),
    ],
)
def test_a_model_of_another_pair(
    tmp_path: pathlib.Path, files: dict[str, bytes], languages: tuple[str, str], fits: bool
) -> None:
    codes = json.dumps(dict(zip(("source_lang", "target_lang"), languages, strict=True))).encode()
    load(tmp_path, {**files, "tokenizer_config.json": codes}, "data.direction")
    if fits:
        load(tmp_path, {**files, "tokenizer_config.json": codes})
        return
    with pytest.raises(ValueError, match=f"from {languages[0]} to {languages[1]}, but data.direction is fr-en; set it"):
        load(tmp_path, {**files, "tokenizer_config.json": codes})


def test_a_language_code_begins_sources(tmp_path: pathlib.Path, files: dict[str, bytes]) -> None:
    """The tokenizer of the run adds the code; one that the vocabulary lacks is an error that lists the others."""
    vocabulary = json.loads(files["vocab.json"])
    last = max(vocabulary, key=vocabulary.__getitem__)
    coded = {(">>fra<<" if piece == last else piece): token for piece, token in vocabulary.items()}
    load(tmp_path, {**files, "vocab.json": json.dumps(coded).encode()})

    def tokenizer(code: str) -> Tokenizer:
        spec = dataclasses.replace(MODEL_RUN, train=dataclasses.replace(MODEL_RUN.train, init_from=str(tmp_path)))
        spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, language_code=code))
        return load_pretrained(str(tmp_path), spec, ["model"]).tokenizer

    assert tokenizer(">>fra<<").encode(FRENCH[0]) == [52, *tokenizer("").encode(FRENCH[0])]
    assert tokenizer(">>fra<<").for_target.encode(FRENCH[0]) == tokenizer("").for_target.encode(FRENCH[0])
    with pytest.raises(ValueError, match=r"data\.language_code: .*no '>>frr<<'; its codes: >>fra<<; did you mean"):
        tokenizer(">>frr<<")
    with pytest.raises(ValueError, match=r"data\.language_code: >>fra<< .* set train\.init_from"):
        dataclasses.replace(MODEL_RUN, data=dataclasses.replace(MODEL_RUN.data, language_code=">>fra<<"))


def test_weights_of_pytorch(tmp_path: pathlib.Path, files: dict[str, bytes]) -> None:
    """An old folder has the same parameters; a file with code, of another kind, or damaged is refused, and not run."""
    torch: Any = pytest.importorskip("torch", reason="needs the extra `parity`")
    from safetensors.numpy import load as loads

    arrays = {name: torch.tensor(array) for name, array in loads(files["model.safetensors"]).items()}
    old = {name: content for name, content in files.items() if name != "model.safetensors"}
    paths = [tmp_path / name for name in ("new", "old")]
    for path in paths:
        path.mkdir()
    torch.save(arrays | {"model.shared.weight": arrays["model.shared.weight"].double()}, paths[1] / "pytorch_model.bin")
    models = [load(path, content) for path, content in zip(paths, (files, old), strict=True)]
    jax.tree.map(np.testing.assert_array_equal, *(model.params for model in models))
    marker, weights = tmp_path / "run", paths[1] / "pytorch_model.bin"
    whole = weights.read_bytes()
    for content in (
        pickle.dumps(Code(marker)),
        pickle.dumps({"model.shared.weight": Code(marker)}),
        pickle.dumps([1, 2]),
        whole[: len(whole) // 2],
        b"",
        b"hello",
    ):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match=r"pytorch_model\.bin: is damaged, or does not only hold") as error:
            load(paths[1], {})
        assert len(str(error.value).splitlines()) == 1
    assert not marker.exists()


class Code:
    """Pickled, it creates a file when it is read."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize(("entry", "value"), [(entry, value) for entry, values in CHECKS.items() for value in values])
def test_a_damaged_entry(tmp_path: pathlib.Path, files: dict[str, bytes], entry: str, value: Any) -> None:
    config = json.loads(files["config.json"])
    changes = {entry: value}
    if entry.startswith("encoder_"):  # both stacks have one value
        changes |= {f"decoder_{entry.removeprefix('encoder_')}": value}
    with pytest.raises(ValueError, match=str(tmp_path)) as error:
        load(tmp_path, {**files, "config.json": json.dumps({**config, **changes}).encode()})
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "model.safetensors", "source.spm", "target.spm"])
@pytest.mark.parametrize("damage", ["empty", "half", "list", "text", "missing", "bytes"])
def test_a_damaged_file(tmp_path: pathlib.Path, files: dict[str, bytes], name: str, damage: str) -> None:
    content = files.pop(name) if damage == "missing" else files[name]
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "list": b"[]",
        "text": b"hello",
        "bytes": b"\xff" * 99,
    }
    try:
        with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)) as error:
            load(tmp_path, files if damage == "missing" else {**files, name: damaged[damage]})
    finally:
        files[name] = content
    assert len(str(error.value).splitlines()) == 1
    assert name in str(error.value)


def test_weights_that_are_not_finite_and_ids_that_are_not_integers(
    tmp_path: pathlib.Path, files: dict[str, bytes]
) -> None:
    from safetensors.numpy import load as loads
    from safetensors.numpy import save

    arrays = loads(files["model.safetensors"])
    arrays["model.decoder.layers.1.fc1.weight"][2, 3] = np.nan
    with pytest.raises(ValueError, match=r"model\.safetensors: parameter model\.decoder\.layers\.1\.fc1\.weight"):
        load(tmp_path, {**files, "model.safetensors": save(arrays)})
    with pytest.raises(ValueError, match=r"vocab\.json: not every token"):
        load(tmp_path, {**files, "vocab.json": b'{"a": "1"}'})


def test_an_archive_of_a_tokenizer_has_a_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small archive may expand to any size: it is refused before it is read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("source.spm", "target.spm", "vocab.json"):
            archive.writestr(name, bytes(50_000))
    monkeypatch.setattr(marian, "_MAX_SIZE", 149_999)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(ValueError, match="not an archive of"):
        marian.MarianTokenizer(buffer.getvalue())
