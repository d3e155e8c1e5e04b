"""Hugging Face Marian models and ours give the same logits and the same tokens."""

import dataclasses
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest

from tests.interop.conftest import (
    SPEC,
    VARIANTS,
    VOCABULARY,
    Small,
    sentences,
    small,
)
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop.marian import folder, parameters, settings

every_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


def write(path: pathlib.Path, model: Small, tokenizer: Tokenizer) -> pathlib.Path:
    pytest.importorskip("safetensors", reason="needs the extra `interop`")
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    folder.write(path, model.flat, model.spec, SPEC.decode, 40, pieces, tokenizer.models, ("fr", "en"))
    return path


def opus(
    path: pathlib.Path, transformers: Any, models: tuple[bytes, bytes], vocabulary: dict[str, int], **changes: bool
) -> Any:
    """A random model in the OPUS-MT format: padding is the last token and starts decoding; the output has biases."""
    import torch

    size = len(vocabulary)
    special = {
        "pad_token_id": size - 1,
        "decoder_start_token_id": size - 1,
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
    }
    config = transformers.MarianConfig(
        vocab_size=size, d_model=14, encoder_layers=2, decoder_layers=1, encoder_ffn_dim=17, decoder_ffn_dim=17,
        encoder_attention_heads=2, decoder_attention_heads=2, activation_function="swish", scale_embedding=True,
        max_position_embeddings=64, bos_token_id=None, **special, **changes,
    )  # fmt: skip
    torch.manual_seed(3)
    model = transformers.MarianMTModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" not in name:
                parameter.normal_(0, 0.4)
        model.final_logits_bias.normal_(0, 0.5)
    model.save_pretrained(path)
    (path / "source.spm").write_bytes(models[0])
    (path / "target.spm").write_bytes(models[1])
    (path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    return model


def imported(marian: folder.MarianModel) -> Small:
    """Our model with the parameters of a Marian model."""
    model = small(vocabulary=len(marian.row_V), **marian.settings)
    return model.with_params(parameters.from_marian(marian.arrays, model.spec, marian.row_V))


def their_logits(model: Any, source_BS: np.ndarray, target_BT: np.ndarray, pad: int) -> np.ndarray:
    import torch

    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(source_BS),
            attention_mask=torch.tensor(source_BS != pad),
            decoder_input_ids=torch.tensor(target_BT),
        )
    return output.logits.numpy()


@every_variant
def test_an_exported_model_has_our_logits_in_transformers(
    changes: dict[str, Any], transformers: Any, tokenizer: Tokenizer, tmp_path: pathlib.Path
) -> None:
    model = small(**changes)
    theirs = transformers.MarianMTModel.from_pretrained(write(tmp_path, model, tokenizer)).eval()
    source_BS, target_BT = sentences()
    expected = model.logits(source_BS, target_BT)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(
        their_logits(theirs, source_BS, target_BT, 0)[target_BT != 0], expected[target_BT != 0], atol=1e-4, rtol=1e-4
    )


def test_an_exported_model_has_our_tokens_in_transformers(
    transformers: Any, tokenizer: Tokenizer, tmp_path: pathlib.Path
) -> None:
    theirs = transformers.MarianTokenizer.from_pretrained(write(tmp_path, small(), tokenizer))
    for text in ("un chats dorment.", "deux  chiens", "Zut", " noirs ", "dorment.chats"):
        assert theirs(text).input_ids == [*tokenizer.encode(text), 2]
    ids = tokenizer.encode("two cats are asleep.")
    assert theirs.decode([1, *ids, 2, 0, 0], skip_special_tokens=True) == "two cats are asleep."
    assert [theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id, theirs.unk_token_id] == [0, 1, 2, 3]


@every_variant
def test_export_and_import_are_inverse_bit_for_bit(
    changes: dict[str, Any], tokenizer: Tokenizer, tmp_path: pathlib.Path
) -> None:
    model = small(**changes)
    marian = folder.read(write(tmp_path, model, tokenizer))
    assert settings.differing_settings(model.spec, marian.settings) == []
    assert marian.pieces == tokenizer.pieces(range(VOCABULARY))
    again = imported(marian).flat
    assert again.keys() == model.flat.keys()
    for name, array in model.flat.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@pytest.mark.parametrize("tied", ["all", "target and output", "none"])
def test_an_imported_opus_model_has_its_logits(
    tied: str,
    transformers: Any,
    pair_of_models: tuple[bytes, bytes],
    opus_vocabulary: dict[str, int],
    tmp_path: pathlib.Path,
) -> None:
    ties = {"share_encoder_decoder_embeddings": tied == "all", "tie_word_embeddings": tied != "none"}
    theirs = opus(tmp_path, transformers, pair_of_models, opus_vocabulary, **ties)
    marian = folder.read(tmp_path)
    size = len(opus_vocabulary)
    model = imported(marian)
    assert marian.row_V.tolist() == [-1, size - 1, 0, 1, *range(2, size - 1)]
    assert marian.settings["output_bias"]
    source_BS, target_BT = sentences(vocabulary=size)
    row_V = np.where(marian.row_V < 0, size - 1, marian.row_V)  # their padding for our PAD, which they do not have
    logits = model.logits(source_BS, target_BT)
    expected = their_logits(theirs, row_V[source_BS], row_V[target_BT], size - 1)
    real = target_BT != 0
    np.testing.assert_allclose(logits[real][:, 1:], expected[real][:, marian.row_V[1:]], atol=1e-4, rtol=1e-4)
    assert logits[real][:, 0].max() < -90  # a token that they do not have is never an output


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"score": "cosine"}, "model.score='cosine'"),
        ({"score_scale": "none"}, "model.score_scale='none'"),
        ({"positions": "rotary", "decoder_positions": "sinusoid"}, "model.positions='rotary'"),
        ({"decoder_positions": "none"}, "model.decoder_positions='none'"),
        ({"norm": "pre"}, "model.norm='pre'"),
        ({"norm_kind": "rms"}, "model.norm_kind='rms'"),
        ({"activation": "swiglu"}, "model.activation='swiglu'"),
        ({"residual": False}, "model.residual=False"),
        ({"no_residual": "feed_forward"}, "model.no_residual='feed_forward'"),
        ({"feed_forward": False}, "model.feed_forward=False"),
        ({"weights": "top_k"}, "model.weights='top_k'"),
        ({"cross_score": "additive"}, "model.cross_score='additive'"),
        ({"cross_memory": "each"}, "model.cross_memory='each'"),
        ({"causal_mask": False}, "model.causal_mask=False"),
        ({"d_k": 3}, "model.d_k=3"),
        ({"d_v": 3}, "model.d_v=3"),
        ({"architecture": "rnnsearch"}, "model.architecture='rnnsearch'"),
    ],
)
def test_settings_that_marian_cannot_express_are_rejected_by_name(changes: dict[str, Any], named: str) -> None:
    spec = dataclasses.replace(SPEC.model, **changes)
    with pytest.raises(ValueError, match=re.escape(named)) as error:
        settings.check_expressible(spec)
    assert str(error.value).count("(Marian: ") == 1


def test_settings_survive_a_round_trip() -> None:
    for changes in VARIANTS.values():
        spec = small(**changes).spec
        settings.check_expressible(spec)
        recovered = settings.model_settings(settings.model_config(spec, VOCABULARY, 40)) | {
            "output_bias": spec.output_bias
        }
        assert settings.differing_settings(spec, recovered) == []
        other = dataclasses.replace(spec, d_ff=19, d_k=3, scale_embeddings=not spec.scale_embeddings)
        assert settings.differing_settings(other, recovered) == ["d_ff", "scale_embeddings", "d_k"]


def test_the_length_penalty_is_the_closest_power_of_the_length() -> None:
    assert settings.length_penalty(0.0) == 0.0
    exponent, growth = settings.length_penalty(0.6), ((5 + 21) / (5 + 19)) ** 0.6
    assert (21 / 19) ** exponent == pytest.approx(growth, rel=1e-4)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("model_type", "bart", "model_type is 'bart'"),
        ("decoder_ffn_dim", 19, "encoder_ffn_dim is 17 and decoder_ffn_dim 19"),
        ("normalize_before", True, "normalize_before is true"),
        ("decoder_vocab_size", 7, "decoder_vocab_size differ"),
        ("activation_function", "tanh", "activation_function is 'tanh'"),
        ("pad_token_id", 99, "the id of pad is 99"),
    ],
)
def test_an_unsupported_model_is_rejected_with_the_entry(
    entry: str, value: Any, message: str, tokenizer: Tokenizer, tmp_path: pathlib.Path
) -> None:
    path = write(tmp_path, small(), tokenizer) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        folder.read(tmp_path)
    assert str(path) in str(error.value)


def test_parameters_that_do_not_fit_are_rejected_by_name() -> None:
    model = small()
    theirs = parameters.to_marian(model.flat, model.spec)
    row_V = np.arange(VOCABULARY)
    fc1 = "model.decoder.layers.1.fc1.weight"
    incomplete = {name: array for name, array in theirs.items() if name != fc1}
    positions = {"model.encoder.embed_positions.weight": parameters.sinusoids(13, 14)}
    assert parameters.from_marian(theirs | positions, model.spec, row_V)
    for arrays, message in (
        (incomplete, f"{fc1} is missing"),
        (theirs | {fc1: theirs[fc1][:-1]}, f"{fc1} has an axis of size 16, not 17"),
        (theirs | {fc1: theirs[fc1][0]}, f"{fc1} has 1 axes, not 2"),
        (theirs | {"model.extra": theirs[fc1]}, "model.extra: no setting"),
        (theirs | {"lm_head.weight": theirs["model.shared.weight"] + 1}, "lm_head.weight differs"),
        (theirs | {next(iter(positions)): positions[next(iter(positions))][::-1]}, "not sinusoids"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            parameters.from_marian(arrays, model.spec, row_V)


def test_a_missing_file_is_named(tokenizer: Tokenizer, tmp_path: pathlib.Path) -> None:
    (write(tmp_path, small(), tokenizer) / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file$"):
        folder.read(tmp_path)
