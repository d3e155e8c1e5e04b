"""The sections of a spec about decoding, evaluation, devices and checkpoints. This module imports no array library."""

import dataclasses

from transformer.section import Section, require, require_one_of, require_positive

MIN_TEMPERATURE = 1e-6  # of sampling; float32 logits divided by less than 1e-8 reach the limit of search scores


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


@dataclasses.dataclass(frozen=True)
class CheckpointSpec(Section):
    """Checkpoints of a run."""

    every: int
    keep: int

    def __post_init__(self) -> None:
        require_positive("checkpoint", self, "every", "keep")
