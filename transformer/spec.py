"""Settings of an experiment as frozen dataclasses, validated once, before anything is built.

`Spec.from_config` is strict: an unknown key raises, and so does a missing one. Invalid values raise a `ValueError` with
the key, the value and a remedy. This module imports no array library.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from transformer.languages import require_direction
from transformer.mixture import Part, parse_mixture
from transformer.padding import padded_width
from transformer.run_spec import DTYPES, CheckpointSpec, DecodeSpec, EvaluateSpec, ParallelSpec, TrainSpec
from transformer.run_spec import MIN_TEMPERATURE as MIN_TEMPERATURE
from transformer.section import Section, comma_separated, require, require_one_of, require_positive, require_rate

PAD, BOS, EOS, UNK = 0, 1, 2, 3  # token ids that tokenizers, models and decoding share
LANGUAGES = ("fr", "en")  # of the generated corpus
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")  # suffixes of compressed files
PAIR_FILES = (".tsv", ".tmx", ".po")  # suffixes of files that hold both sides of a split
PRECISIONS = ("default", "tensorfloat32", "float32")  # of float32 matmuls, by their names in JAX
# Dtype of the matmuls that compute published scores. In bfloat16 a sum in another order may round to another number, so
# translations depend on the batch size and the number of devices.
SCORING_DTYPE = "float32"
REMATS = ("none", "dots", "full")  # what the backward pass recomputes
PACKED_HEAD_SIZES = (16, 32, 64, 128)  # of the GPU kernel for packed rows
UNKNOWN_POLICIES = ("copy", "show", "drop")  # what stands for unknown words in translations
DROPOUTS = ("dropout_embedding", "dropout_sublayer", "dropout_attention", "dropout_feed_forward", "dropout_word")
SUBLAYERS = ("self_attention", "cross_attention", "feed_forward")


@dataclasses.dataclass(frozen=True)
class ModelSpec(Section):
    """The model; Section 3 of Vaswani et al. 2017. configs/base.py documents every key."""

    architecture: str
    d_model: int
    d_ff: int
    heads: int
    d_k: int | None
    d_v: int | None
    encoder_layers: int
    decoder_layers: int
    score: str
    score_scale: str
    cross_score: str | None
    weights: str
    top_k: int
    cross_memory: str
    causal_mask: bool
    residual: bool
    no_residual: str
    norm: str
    norm_kind: str
    positions: str
    decoder_positions: str | None
    max_positions: int
    feed_forward: bool
    activation: str
    tie_embeddings: bool
    scale_embeddings: bool
    output_bias: bool
    cell: str
    d_state: int | None
    d_maxout: int | None
    reverse_source: bool
    init_range: float | None
    lora_rank: int | None
    lora_targets: str
    dropout_embedding: float
    dropout_sublayer: float
    dropout_attention: float
    dropout_feed_forward: float
    dropout_word: float
    dtype: str
    matmul_precision: str
    attention_kernel: str
    remat: str
    scan_layers: bool

    def __post_init__(self) -> None:
        require_positive("model", self, "d_model", "d_ff", "heads", "d_k", "d_v", "encoder_layers", "decoder_layers")
        require_positive("model", self, "d_state", "d_maxout", "init_range", "top_k", "max_positions", "lora_rank")
        require_rate("model", self, *DROPOUTS)
        require_one_of("model.norm", self.norm, ("post", "pre", "none"))
        require_one_of("model.dtype", self.dtype, DTYPES)
        require_one_of("model.matmul_precision", self.matmul_precision, PRECISIONS)
        for kind in self.without_residual:
            require_one_of("model.no_residual", kind, SUBLAYERS)
        require_one_of("model.remat", self.remat, REMATS)
        for name, neutral in (("remat", "none"), ("scan_layers", False)):
            require(
                self.architecture == "transformer" or getattr(self, name) == neutral,
                f"model.{name}: {getattr(self, name)} changes nothing in a {self.architecture} model; set {neutral}",
            )
        for name in ("d_k", "d_v"):
            require(
                getattr(self, name) is not None or self.d_model % self.heads == 0,
                f"model width {self.d_model} does not divide into {self.heads} heads; set model.{name}, "
                f"or a model.heads that divides {self.d_model}",
            )

    @property
    def unrolled(self) -> Self:
        """The same model without what only training uses: recomputation, and a loop over layers."""
        return dataclasses.replace(self, remat="none", scan_layers=False)

    @property
    def key_size(self) -> int:
        """d_k per head; Section 3.2.1."""
        return self.d_k or self.d_model // self.heads

    @property
    def value_size(self) -> int:
        """d_v per head; Section 3.2.1."""
        return self.d_v or self.d_model // self.heads

    @property
    def float32_precision(self) -> str:
        """Precision of float32 matmuls. The few of a bfloat16 model have JAX's default precision."""
        return self.matmul_precision if self.dtype == "float32" else "default"

    @property
    def state_size(self) -> int:
        """R, the number of hidden units of a recurrent layer."""
        return self.d_state or self.d_model

    @property
    def maxout_size(self) -> int:
        """l, the width of the maxout layer; Section A.2.2 of Bahdanau et al. 2015."""
        return self.d_maxout or self.d_model

    @property
    def cross_attention_score(self) -> str:
        """Score function of cross-attention."""
        return self.cross_score or self.score

    @property
    def without_residual(self) -> tuple[str, ...]:
        """Kinds of sub-layer without a residual connection, as exceptions from `residual`."""
        return comma_separated(self.no_residual)

    @property
    def lora_patterns(self) -> tuple[str, ...]:
        """Patterns for the names of linear layers with low-rank adaptation."""
        return comma_separated(self.lora_targets)

    def wiring(self, kind: str) -> tuple[str, ...]:
        """Returns the steps around each sub-layer of a kind, in order.

        Section 3.1 has ("sublayer", "dropout", "add", "norm"). The result is empty for an absent feed-forward network.
        """
        if kind == "feed_forward" and not self.feed_forward:
            return ()
        residual = self.residual and kind not in self.without_residual
        around = ("sublayer", "dropout", "add") if residual else ("sublayer", "dropout")
        return {"post": (*around, "norm"), "pre": ("norm", *around), "none": around}[self.norm]

    @property
    def final_norm(self) -> bool:
        """Whether a stack ends with a norm, because pre-norm leaves the residual stream unnormalised."""
        return self.norm == "pre"


def pair_suffix(path: str) -> str:
    """Returns the suffix in `PAIR_FILES` of a file name, without that of a compression; "" for other files."""
    name = path.lower()
    name = next((name.removesuffix(suffix) for suffix in COMPRESSED if name.endswith(suffix)), name)
    return next((suffix for suffix in PAIR_FILES if name.endswith(suffix)), "")


@dataclasses.dataclass(frozen=True)
class DataSpec(Section):
    """The corpus, its tokens and its batches; Section 5.1."""

    source: str
    name: str
    directory: str
    raw_directory: str
    path: str
    direction: str
    train_split: str
    validation_split: str
    test_split: str
    train_pairs: int | None
    mixture: str
    language_code: str
    prepared: str
    vocab_size: int
    tokenizer: str
    vocab_sentences: int
    uncased: bool
    max_length: int
    tokens_per_batch: int
    buckets: int
    width_multiple: int
    packed_width: int | None
    examine: str
    workers: int
    prefetch: int

    def __post_init__(self) -> None:
        require_one_of("data.source", self.source, ("grammar", "tfds", "files"))
        require_one_of("data.tokenizer", self.tokenizer, ("bpe", "unigram"))
        require_direction("data.direction", self.direction)
        parse_mixture(self.mixture)
        require_one_of("data.examine", self.examine, ("stop", "warn", "off"))
        require_positive("data", self, "train_pairs", "vocab_size", "vocab_sentences", "max_length", "tokens_per_batch")
        require_positive("data", self, "buckets", "width_multiple", "packed_width", "prefetch")
        require(self.workers >= 0, f"data.workers: {self.workers} is negative")
        require(
            self.tokens_per_batch >= self.max_length,
            f"data.tokens_per_batch: {self.tokens_per_batch} is less than one sentence of data.max_length "
            f"{self.max_length}",
        )
        require(
            self.source != "grammar" or self.train_pairs is not None,
            "data.train_pairs: None, but the generated corpus is infinite; set the number of pairs to draw",
        )
        require(
            self.source != "grammar" or set(self.languages) == set(LANGUAGES),
            f"data.direction: {self.direction}, but the generated corpus is French and English; set fr-en or en-fr, or "
            "data.source to tfds or files",
        )
        require(self.source != "tfds" or bool(self.name), "data.name: data.source=tfds needs the name of a dataset")
        if self.source == "files":
            self._require_path()

    def _require_path(self) -> None:
        """Raises a ValueError if `data.path` names neither two files for each split nor one with both sides."""
        require(
            "{split}" in self.path and ("{language}" in self.path or self.pair_file != ""),
            f"data.path: {self.path!r} has no {{split}} and {{language}}; for example corpus/{{split}}.{{language}}, "
            "or corpus/{split}.tsv, .tmx or .po with both sides in one file",
        )
        require(
            "{language}" not in self.path or pair_suffix(self.path) in ("", ".tsv"),
            f"data.path: a {pair_suffix(self.path)} file holds both languages; remove {{language}} from {self.path!r}",
        )

    @property
    def pair_file(self) -> str:
        """The suffix in `PAIR_FILES` of `path`; "" if a split has a file for each language."""
        return "" if "{language}" in self.path else pair_suffix(self.path)

    @property
    def has_line_files(self) -> bool:
        """Whether every split has a text file for each language, line by line."""
        return self.source == "files" and not self.pair_file and not self.mixture

    @property
    def parts(self) -> tuple[Part, ...]:
        """The corpora of the training split; none if it is that of the corpus."""
        return parse_mixture(self.mixture)

    @property
    def source_language(self) -> str:
        """ISO 639 code of the source language."""
        return self.direction.split("-")[0]

    @property
    def target_language(self) -> str:
        """ISO 639 code of the target language."""
        return self.direction.split("-")[1]

    @property
    def languages(self) -> tuple[str, ...]:
        """Both codes, in an order that is the same in both directions: ("fr", "en")."""
        return tuple(sorted(self.direction.split("-"), reverse=True))


@dataclasses.dataclass(frozen=True)
class Spec(Section):
    """A complete experiment."""

    model: ModelSpec
    data: DataSpec
    train: TrainSpec
    decode: DecodeSpec
    evaluate: EvaluateSpec
    parallel: ParallelSpec
    checkpoint: CheckpointSpec

    def __post_init__(self) -> None:
        require(
            self.checkpoint.keep >= self.train.average_checkpoints,
            f"checkpoint.keep: {self.checkpoint.keep} checkpoints are too few for the mean of "
            f"train.average_checkpoints={self.train.average_checkpoints}; raise it",
        )
        require(
            self.model.attention_kernel == "xla" or self.parallel.fsdp == self.parallel.tensor == 1,
            f"model.attention_kernel: {self.model.attention_kernel} cannot be sharded with parallel.fsdp="
            f"{self.parallel.fsdp} and parallel.tensor={self.parallel.tensor}; set it to xla, or both to 1",
        )
        require(
            bool(self.train.init_from) or not self.data.language_code,
            f"data.language_code: {self.data.language_code} is a token of a pretrained model; set train.init_from",
        )
        if self.data.packed_width is not None:
            self._require_packable()
        for key, value, neutral in (
            ("train.optimizer", self.train.optimizer == "adafactor", "another one"),  # scales a parameter by its size
            ("train.freeze", self.train.freeze, '""'),
            ("model.lora_rank", self.model.lora_rank, "None"),
        ):
            require(
                not (self.model.scan_layers and value),
                f"model.scan_layers: with stacked parameters no layer differs from the others in {key}; set it to "
                f"{neutral}, or model.scan_layers=False",
            )
        self._require_positions()
        cut = self.train.cutoff_rate if self.train.consistency_kind == "simcut" else 0
        differ = any(rate > 0 for rate in (cut, *(getattr(self.model, name) for name in DROPOUTS)))
        require(
            self.train.consistency == 0 or differ,
            f"train.consistency: {self.train.consistency} compares two passes that are equal without dropout; set a "
            "model.dropout_*, or train.consistency_kind=simcut and train.cutoff_rate, or train.consistency=0",
        )
        require(
            self.train.early_stopping != "bleu" or self.evaluate.sentences != 0,
            "train.early_stopping=bleu needs evaluate.sentences other than 0",
        )

    def _require_packable(self) -> None:
        """Raises a ValueError for settings that do not support packed rows."""
        architecture, unit, key = self.model.architecture, self.train.clip_unit, "data.packed_width"
        require(architecture == "transformer", f"{key}: a {architecture} model does not support packed rows; set None")
        for supported, setting, remedy in (
            (
                self.model.attention_kernel != "cudnn" or self.model.key_size in PACKED_HEAD_SIZES,
                f"model.attention_kernel=cudnn with heads of width {self.model.key_size}",
                f"model.d_k and model.d_v to one of {', '.join(map(str, PACKED_HEAD_SIZES))}, the kernel to xla",
            ),
            (unit == "token", f"train.clip_unit={unit}", "the unit to token"),
        ):
            require(supported, f"{key}: {setting} does not support packed rows; set {remedy}, or the width to None")

    def _require_positions(self) -> None:
        """Raises a ValueError if there are fewer learned positions than training or a search needs."""
        model, data, extra = self.model, self.data, self.decode.max_extra_length
        decoder = (model.decoder_positions or model.positions) == "learned"
        if model.architecture != "transformer" or not (decoder or model.positions == "learned"):
            return
        require(
            (data.packed_width or 0) <= model.max_positions,
            f"data.packed_width: {data.packed_width} is more than model.max_positions={model.max_positions} learned "
            "positions; raise model.max_positions, or lower the width",
        )
        source = max(padded_width(data.max_length), -(-data.max_length // data.width_multiple) * data.width_multiple)
        longest = source + extra if decoder else source
        require(
            longest <= model.max_positions,
            f"model.max_positions: {model.max_positions} learned positions are too few; data.max_length="
            f"{data.max_length}, padded to {source}, and decode.max_extra_length={extra} need {longest}",
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str = "") -> Self:
        """Builds all sections from a nested mapping, such as a ConfigDict or a parsed config.json."""
        sections = {field.name: field.type for field in dataclasses.fields(cls)}
        for keys, problem in ((set(config) - set(sections), "unknown"), (set(sections) - set(config), "missing")):
            require(not keys, f"{problem} section: {', '.join(sorted(keys))}")
        return cls(**{key: section.from_config(config[key], key) for key, section in sections.items()})  # type: ignore[union-attr]

    def to_dict(self) -> dict[str, Any]:
        """Returns a nested dict, from which `Spec.from_config` restores an equal spec."""
        return dataclasses.asdict(self)
