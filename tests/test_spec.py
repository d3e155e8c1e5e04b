import dataclasses
import json
from typing import Any

import pytest

from configs import base
from transformer import spec
from transformer.spec import ModelSpec, Spec


def changed(**changes: Any) -> dict[str, Any]:
    """Returns the base config on a generated corpus as a dict; `model__heads=3` sets model.heads."""
    config = base.get_config().to_dict()
    for name, value in ({"data__source": "grammar", "data__train_pairs": 7} | changes).items():
        section, key = name.split("__")
        assert key in config[section]
        config[section][key] = value
    return config


def model(**changes: Any) -> ModelSpec:
    return Spec.from_config(changed(**{f"model__{key}": value for key, value in changes.items()})).model


def test_a_config_round_trips_through_a_spec() -> None:
    config = changed()
    resolved = Spec.from_config(config)
    assert resolved.to_dict() == config
    assert Spec.from_config(resolved.to_dict()) == resolved
    assert Spec.from_config(json.loads(json.dumps(resolved.to_dict()))) == resolved


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Spec.from_config(changed()).model.heads = 3  # type: ignore[misc]


@pytest.mark.parametrize("section", [field.name for field in dataclasses.fields(Spec)])
def test_keys_are_exact_in_every_section(section: str) -> None:
    config = changed()
    config[section]["zeta"] = config[section]["eta"] = 1
    with pytest.raises(ValueError, match=rf"^unknown key: {section}\.eta, {section}\.zeta$"):
        Spec.from_config(config)
    for key in changed()[section]:
        config = changed()
        del config[section][key]
        with pytest.raises(ValueError, match=rf"^missing key: {section}\.{key}$"):
            Spec.from_config(config)


def test_sections_are_exact() -> None:
    with pytest.raises(ValueError, match=r"^unknown section: zeta$"):
        Spec.from_config(changed() | {"zeta": {}})
    config = changed()
    del config["decode"], config["train"]
    with pytest.raises(ValueError, match=r"^missing section: decode, train$"):
        Spec.from_config(config)


def test_a_single_section_names_its_keys_without_a_prefix() -> None:
    with pytest.raises(ValueError, match=r"^missing key: cpu_devices, distributed, fsdp, tensor$"):
        spec.ParallelSpec.from_config({"mode": "mesh"})


POSITIVE = (
    "model__d_model model__d_ff model__heads model__d_k model__d_v model__encoder_layers model__decoder_layers "
    "model__top_k model__max_positions "
    "data__train_pairs data__vocab_size data__max_length data__tokens_per_batch data__buckets "
    "data__width_multiple data__packed_width data__prefetch "
    "train__steps train__learning_rate train__adam_learning_rate train__warmup_steps train__adam_epsilon "
    "train__clip_norm train__accumulate "
    "train__average_checkpoints train__patience train__log_every train__loss_chunk "
    "decode__beam_size decode__max_extra_length decode__batch_size decode__temperature "
    "evaluate__every checkpoint__every checkpoint__keep"
).split()
RATES = (
    "model__dropout_embedding model__dropout_sublayer model__dropout_attention model__dropout_feed_forward "
    "model__dropout_word "
    "train__adam_beta1 train__adam_beta2 train__label_smoothing train__ema_decay train__cutoff_rate"
).split()
NOT_NEGATIVE = (
    "train__weight_decay train__consistency data__workers decode__length_penalty decode__top_k evaluate__sentences "
    "parallel__cpu_devices"
).split()
CHOICES = {
    "model__norm": "post, pre, none",
    "model__dtype": "float32, bfloat16",
    "model__matmul_precision": "default, tensorfloat32, float32",
    "model__remat": "none, dots, full",
    "train__clip_unit": "token, sentence",
    "train__consistency_kind": "rdrop, simcut",
    "data__source": "grammar, tfds, files",
    "data__tokenizer": "bpe, unigram",
    "train__early_stopping": "none, loss, bleu",
    "decode__method": "beam, greedy, sample",
    "parallel__mode": "mesh, pmap",
}


def error_message(**changes: Any) -> str:
    """Returns the error message for the changed base config."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller checks the message
        Spec.from_config(changed(**changes))
    return str(caught.value)


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("value", [0, -3])
def test_a_size_is_positive(name: str, value: int) -> None:
    assert error_message(**{name: value}) == f"{name.replace('__', '.')}: {value} is not positive"


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("value", [1.0, -0.1])
def test_a_rate_is_less_than_one(name: str, value: float) -> None:
    assert error_message(**{name: value}) == f"{name.replace('__', '.')}: {value} is not in [0, 1)"


@pytest.mark.parametrize("name", NOT_NEGATIVE)
def test_a_count_is_not_negative(name: str) -> None:
    assert error_message(**{name: -1}) == f"{name.replace('__', '.')}: -1 is negative"


@pytest.mark.parametrize(("name", "choices"), CHOICES.items(), ids=CHOICES.keys())
def test_a_name_is_one_of_the_choices(name: str, choices: str) -> None:
    assert error_message(**{name: "Post"}) == (
        f"{name.replace('__', '.')}: 'Post' is none of {choices}{'; did you mean post?' * ('post' in choices)}"
    )
    for choice in choices.split(", "):
        extra = {"data__name": "multi30k", "data__path": "{split}.{language}"}
        Spec.from_config(changed(**extra, **{name: choice}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data__max_length": 101, "data__tokens_per_batch": 100},
            "data.tokens_per_batch: 100 is less than one sentence of data.max_length 101",
        ),
        (
            {"data__source": "grammar", "data__train_pairs": None},
            "data.train_pairs: None, but the generated corpus is infinite; set the number of pairs to draw",
        ),
        ({"data__source": "tfds", "data__name": ""}, "data.name: data.source=tfds needs the name of a dataset"),
        (
            {"data__source": "files", "data__path": "corpus.{split}"},
            "data.path: 'corpus.{split}' has no {split} and {language}; for example corpus/{split}.{language}, or "
            "corpus/{split}.tsv, .tmx or .po with both sides in one file",
        ),
        (
            {"data__source": "files", "data__path": "{language}/{split}.tmx.gz"},
            "data.path: a .tmx file holds both languages; remove {language} from '{language}/{split}.tmx.gz'",
        ),
        (
            {"checkpoint__keep": 2, "train__average_checkpoints": 3},
            "checkpoint.keep: 2 checkpoints are too few for the mean of train.average_checkpoints=3; raise it",
        ),
        (
            {"train__early_stopping": "bleu", "evaluate__sentences": 0},
            "train.early_stopping=bleu needs evaluate.sentences other than 0",
        ),
        (
            {"train__consistency": 0.5, "model__dropout_embedding": 0.0, "model__dropout_sublayer": 0.0},
            "train.consistency: 0.5 compares two passes that are equal without dropout; set a model.dropout_*, or "
            "train.consistency_kind=simcut and train.cutoff_rate, or train.consistency=0",
        ),
        (
            {"data__packed_width": 513, "model__positions": "learned"},
            "data.packed_width: 513 is more than model.max_positions=512 learned positions; raise "
            "model.max_positions, or lower the width",
        ),
        (
            {"data__packed_width": 128, "train__clip_unit": "sentence"},
            "data.packed_width: train.clip_unit=sentence does not support packed rows; set the unit to token, or the "
            "width to None",
        ),
        (
            {"model__positions": "learned", "model__max_positions": 177},
            "model.max_positions: 177 learned positions are too few; data.max_length=100, padded to 128, and "
            "decode.max_extra_length=50 need 178",
        ),
        (
            {"model__decoder_positions": "learned", "data__max_length": 2, "model__max_positions": 19}
            | {"decode__max_extra_length": 4},
            "model.max_positions: 19 learned positions are too few; data.max_length=2, padded to 16, and "
            "decode.max_extra_length=4 need 20",
        ),
        (
            {"model__positions": "learned", "model__decoder_positions": "none", "model__max_positions": 159}
            | {"data__width_multiple": 80},
            "model.max_positions: 159 learned positions are too few; data.max_length=100, padded to 160, and "
            "decode.max_extra_length=50 need 160",
        ),
        (
            {"data__packed_width": 128, "model__architecture": "rnnsearch"},
            "data.packed_width: a rnnsearch model does not support packed rows; set None",
        ),
        (
            {"data__packed_width": 128, "model__attention_kernel": "cudnn", "model__d_k": 40},
            "data.packed_width: model.attention_kernel=cudnn with heads of width 40 does not support packed rows; set "
            "model.d_k and model.d_v to one of 16, 32, 64, 128, the kernel to xla, "
            "or the width to None",
        ),
    ],
)
def test_settings_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    assert error_message(**changes) == message


@pytest.mark.parametrize(
    "positions",
    [
        {"positions": "learned", "max_positions": 178},
        {"positions": "learned", "decoder_positions": "none", "max_positions": 128},
        {"max_positions": 1},
        {"positions": "learned", "max_positions": 1, "architecture": "rnnsearch"},
    ],
)
def test_learned_positions_that_are_just_enough(positions: dict[str, Any]) -> None:
    assert model(**positions).max_positions == positions["max_positions"]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"d_model": 21, "heads": 7}, (3, 3)),
        ({"d_model": 21, "heads": 1}, (21, 21)),
        ({"d_model": 21, "heads": 7, "d_k": 5}, (5, 3)),
        ({"d_model": 21, "heads": 7, "d_v": 5}, (3, 5)),
        ({"d_model": 21, "heads": 5, "d_k": 2, "d_v": 11}, (2, 11)),
    ],
)
def test_head_sizes(sizes: dict[str, int], expected: tuple[int, int]) -> None:
    built = model(**sizes)
    assert (built.key_size, built.value_size) == expected


@pytest.mark.parametrize(("sizes", "missing"), [({}, "d_k"), ({"d_k": 3}, "d_v"), ({"d_v": 3}, "d_k")])
def test_a_width_that_heads_do_not_divide(sizes: dict[str, int], missing: str) -> None:
    message = f"^model width 100 does not divide into 8 heads; set model.{missing}, or a model.heads that divides 100$"
    with pytest.raises(ValueError, match=message):
        model(d_model=100, heads=8, **sizes)


@pytest.mark.parametrize(
    ("residual", "norm", "wiring", "final_norm"),
    [
        (True, "post", ("sublayer", "dropout", "add", "norm"), False),
        (True, "pre", ("norm", "sublayer", "dropout", "add"), True),
        (True, "none", ("sublayer", "dropout", "add"), False),
        (False, "post", ("sublayer", "dropout", "norm"), False),
        (False, "pre", ("norm", "sublayer", "dropout"), True),
        (False, "none", ("sublayer", "dropout"), False),
    ],
)
def test_wiring(residual: bool, norm: str, wiring: tuple[str, ...], final_norm: bool) -> None:
    built = model(residual=residual, norm=norm)
    assert built.final_norm == final_norm
    assert [built.wiring(kind) for kind in spec.SUBLAYERS] == [wiring] * 3


def test_wiring_by_kind() -> None:
    built = model(no_residual="cross_attention,feed_forward")
    has_residual = {kind: "add" in built.wiring(kind) for kind in spec.SUBLAYERS}
    assert has_residual == {"self_attention": True, "cross_attention": False, "feed_forward": False}
    assert model(feed_forward=False).wiring("feed_forward") == ()
    message = "model.no_residual: 'attention' is none of self_attention, cross_attention, feed_forward"
    message += "; did you mean self_attention?"
    assert error_message(model__no_residual="attention") == message


@pytest.mark.parametrize(("direction", "languages"), [("fr-en", ("fr", "en")), ("en-fr", ("en", "fr"))])
def test_direction(direction: str, languages: tuple[str, str]) -> None:
    data = Spec.from_config(changed(data__direction=direction)).data
    assert (data.source_language, data.target_language) == languages
    assert data.languages == spec.LANGUAGES


def test_any_two_languages_but_only_for_a_corpus_that_has_them() -> None:
    data = Spec.from_config(changed(data__direction="en-de", data__source="tfds", data__name="multi30k")).data
    assert (data.source_language, data.target_language, data.languages) == ("en", "de", ("en", "de"))
    assert error_message(data__direction="en-de").startswith(
        "data.direction: en-de, but the generated corpus is French and English"
    )
    assert error_message(data__direction="en-german").endswith("; did you mean de?")


def test_special_tokens_are_the_first_four() -> None:
    assert (spec.PAD, spec.BOS, spec.EOS, spec.UNK) == (0, 1, 2, 3)
