"""Loads trained runs, a single one or an ensemble, for translation."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.layers import lora
from transformer.models.ensemble import Ensemble
from transformer.spec import SCORING_DTYPE, Spec
from transformer.training.state import ModelDef, Params


class TrainedSystem(NamedTuple):
    """A trained model or ensemble.

    Attributes:
      system: the system; of an ensemble, that of the first run with the models of all.
      params: the parameters; of an ensemble, a list.
      steps: for each run, the steps of the checkpoints that its parameters come from.
    """

    system: System
    params: Any
    steps: list[list[int]]


class _EnsembleModel(NamedTuple):
    """Like `ModelDef`, for several models: called with the parameters of each."""

    models: tuple[ModelDef, ...]

    def __call__(self, params: Sequence[Params]) -> Ensemble:
        return Ensemble([model(own_params) for model, own_params in zip(self.models, params, strict=True)])


def load(paths: Sequence[str], dtype: str | None = None) -> TrainedSystem:
    """Loads the run in a folder; from several folders, their ensemble, with the settings of the first run.

    Args:
      paths: the folders.
      dtype: dtype of the matmuls; default: each run's `model.dtype`. Parameters are always float32.

    Raises:
      FileNotFoundError: a folder holds no run.
      ValueError: the runs have different directions or vocabularies.
    """
    workdirs = [Workdir(path) for path in paths]
    systems = [System.make(with_dtype(run.spec(), dtype), load_tokenizer(run.tokenizer)) for run in workdirs]
    first = systems[0]
    for path, system in zip(paths, systems, strict=True):
        for name, value, expected in (
            ("data.direction", system.spec.data.direction, first.spec.data.direction),
            ("tokenizer.model", system.tokenizer.fingerprint[:12], first.tokenizer.fingerprint[:12]),
        ):
            if value != expected:
                raise ValueError(f"{path}: {name} is {value}, but {expected} in {paths[0]}; they are no ensemble")
    loaded = [load_params(system, workdir) for system, workdir in zip(systems, workdirs, strict=True)]
    systems, params, steps = map(list, zip(*loaded, strict=True))
    if len(systems) == 1:
        return TrainedSystem(systems[0], params[0], steps)
    ensemble: Any = _EnsembleModel(tuple(system.model for system in systems))
    return TrainedSystem(systems[0].with_model(ensemble, [system.param_shapes for system in systems]), params, steps)


def load_params(system: System, workdir: Workdir) -> tuple[System, Params, list[int]]:
    """Returns the system of a finished run, its final parameters, and the steps that they come from.

    LoRA layers are merged: the returned system has the settings and the parameters of the equal model without them.
    """
    params, steps = system.final_params(workdir)
    if system.spec.model.lora_rank is None:
        return system, params, steps
    merged = System.make(without_lora(system.spec), system.tokenizer, partitioner=system.partitioner)
    return merged, merged.put_params(lora.merge(params)), steps


def without_lora(spec: Spec) -> Spec:
    """Returns the spec of the model whose LoRA layers are merged."""
    return dataclasses.replace(spec, model=dataclasses.replace(spec.model, lora_rank=None))


def with_dtype(spec: Spec, dtype: str | None) -> Spec:
    """Returns the spec with matmuls of another dtype; None changes nothing."""
    model = dataclasses.replace(spec.model, dtype=dtype or spec.model.dtype)
    if model.attention_kernel == "cudnn" and model.dtype != spec.model.dtype:  # cuDNN supports only 16-bit dtypes
        model = dataclasses.replace(model, attention_kernel="xla")
    return dataclasses.replace(spec, model=model)


def scoring_system(system: System) -> System:
    """Returns the system with matmuls in `SCORING_DTYPE`; the same object if they are already."""
    if system.spec.model.dtype == SCORING_DTYPE:
        return system
    spec = with_dtype(system.spec, SCORING_DTYPE)
    return System.make(spec, system.tokenizer, partitioner=system.partitioner)
