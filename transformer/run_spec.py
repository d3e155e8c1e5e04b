"""The sections of a spec about training, decoding, evaluation, devices and checkpoints. Imports no array library."""

import dataclasses

from transformer.section import Section, comma_separated, require, require_one_of, require_positive, require_rate

MIN_TEMPERATURE = 1e-6  # of sampling; float32 logits divided by less than 1e-8 reach the limit of search scores
DTYPES = ("float32", "bfloat16")  # of matmuls
CONSISTENCY_KINDS = ("rdrop", "simcut")
TRACKERS = ("tensorboard", "trackio", "wandb")


@dataclasses.dataclass(frozen=True)
class TrainSpec(Section):
    """The optimisation; Section 5."""

    init_from: str
    freeze: str
    seed: int
    steps: int
    optimizer: str
    muon_dtype: str | None
    learning_rate: float | None
    adam_learning_rate: float | None
    schedule: str
    warmup_steps: int
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    weight_decay: float
    label_smoothing: float
    consistency: float
    consistency_kind: str
    cutoff_rate: float
    clip_norm: float | None
    clip_unit: str
    accumulate: int
    ema_decay: float
    average_checkpoints: int
    early_stopping: str
    patience: int
    nonfinite_limit: int
    on_nonfinite: str
    rollback_limit: int
    log_every: int
    trackers: str
    loss_chunk: int | None

    def __post_init__(self) -> None:
        if self.steps or not self.init_from:  # 0 steps are useful with a pretrained model
            require_positive("train", self, "steps")
        require_positive("train", self, "learning_rate", "warmup_steps", "adam_epsilon", "clip_norm", "accumulate")
        require_positive("train", self, "average_checkpoints", "patience", "nonfinite_limit", "log_every", "loss_chunk")
        require_positive("train", self, "adam_learning_rate", "rollback_limit")
        require_rate("train", self, "adam_beta1", "adam_beta2", "label_smoothing", "ema_decay", "cutoff_rate")
        for name in ("weight_decay", "consistency"):
            require(getattr(self, name) >= 0, f"train.{name}: {getattr(self, name)} is negative")
        require_one_of("train.consistency_kind", self.consistency_kind, CONSISTENCY_KINDS)
        require_one_of("train.clip_unit", self.clip_unit, ("token", "sentence"))
        require_one_of("train.muon_dtype", self.muon_dtype, (None, *DTYPES))
        require_one_of("train.early_stopping", self.early_stopping, ("none", "loss", "bleu"))
        require_one_of("train.on_nonfinite", self.on_nonfinite, ("stop", "rollback"))
        for name in self.tracker_names:
            require_one_of("train.trackers", name, TRACKERS)

    @property
    def tracker_names(self) -> tuple[str, ...]:
        """Names of the trackers, each once."""
        return tuple(dict.fromkeys(comma_separated(self.trackers)))

    @property
    def freeze_patterns(self) -> tuple[str, ...]:
        """Patterns for the names of parameters that training does not change, and exceptions that begin with "!"."""
        return comma_separated(self.freeze)


@dataclasses.dataclass(frozen=True)
class DecodeSpec(Section):
    """Decoding; Section 6.1."""

    method: str
    beam_size: int
    length_penalty: float
    max_extra_length: int
    batch_size: int
    temperature: float
    top_k: int
    top_p: float
    seed: int

    def __post_init__(self) -> None:
        require_one_of("decode.method", self.method, ("beam", "greedy", "sample"))
        require_positive("decode", self, "beam_size", "max_extra_length", "batch_size", "temperature")
        require(
            self.method != "sample" or self.temperature >= MIN_TEMPERATURE,
            f"decode.temperature (--temperature): {self.temperature} is less than {MIN_TEMPERATURE}, where every draw "
            "is the most probable token; set decode.method=greedy (--method=greedy)",
        )
        require(self.length_penalty >= 0, f"decode.length_penalty: {self.length_penalty} is negative")
        require(self.top_k >= 0, f"decode.top_k: {self.top_k} is negative")
        require(0 < self.top_p <= 1, f"decode.top_p: {self.top_p} is not in (0, 1]")


@dataclasses.dataclass(frozen=True)
class EvaluateSpec(Section):
    """Evaluation on the validation split during training."""

    every: int
    sentences: int | None
    samples: int

    def __post_init__(self) -> None:
        require_positive("evaluate", self, "every")
        require(self.sentences is None or self.sentences >= 0, f"evaluate.sentences: {self.sentences} is negative")


@dataclasses.dataclass(frozen=True)
class ParallelSpec(Section):
    """Partitioning of a batch and of parameters over devices."""

    mode: str
    fsdp: int
    tensor: int
    distributed: str
    cpu_devices: int

    def __post_init__(self) -> None:
        require_one_of("parallel.mode", self.mode, ("mesh", "pmap"))
        require_positive("parallel", self, "fsdp", "tensor")
        require(
            self.mode == "mesh" or self.fsdp == self.tensor == 1,
            f"parallel.mode=pmap shards only data: parallel.fsdp={self.fsdp} and "
            f"parallel.tensor={self.tensor} need parallel.mode=mesh",
        )
        require_one_of("parallel.distributed", self.distributed, ("auto", "on", "off"))
        require(self.cpu_devices >= 0, f"parallel.cpu_devices: {self.cpu_devices} is negative")

    @property
    def shards_params(self) -> bool:
        """Whether devices share the parameters or the work of a layer, and not only the rows of a batch."""
        return self.fsdp * self.tensor > 1


@dataclasses.dataclass(frozen=True)
class CheckpointSpec(Section):
    """Checkpoints of a run."""

    every: int
    keep: int

    def __post_init__(self) -> None:
        require_positive("checkpoint", self, "every", "keep")
