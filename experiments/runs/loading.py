"""Runs that are trained, as one system that translates."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.models.ensemble import Ensemble
from transformer.spec import Spec
from transformer.training.state import Model, Params


class Trained(NamedTuple):
    """What evaluation and translation begin with."""

    system: System
    params: Any
    steps: list[list[int]]  # of each run, the steps its parameters come from


class _Together(NamedTuple):
    """As `Model`, of several: called with the parameters of each."""

    models: tuple[Model, ...]

    def __call__(self, params: Sequence[Params]) -> Ensemble:
        return Ensemble([model(each) for model, each in zip(self.models, params, strict=True)])


def load(paths: Sequence[str], dtype: str | None = None) -> Trained:
    """The run in a folder; of several folders, their ensemble. Settings are those of the first.

    Args:
      paths: the folders.
      dtype: of matrix products; default: each run's own `model.dtype`. Parameters are float32 whatever it is.

    Raises:
      FileNotFoundError: there is no run in a folder.
      ValueError: runs that cannot translate together: another direction, another vocabulary.
    """
    workdirs = [Workdir(path) for path in paths]
    systems = [System.make(_in(dtype, workdir.spec()), load_tokenizer(workdir.tokenizer)) for workdir in workdirs]
    first = systems[0]
    for path, system in zip(paths, systems, strict=True):
        for name, here, there in (
            ("data.direction", system.spec.data.direction, first.spec.data.direction),
            ("tokenizer.model", system.tokenizer.fingerprint[:12], first.tokenizer.fingerprint[:12]),
        ):
            if here != there:
                raise ValueError(f"{path}: {name} is {here}, but {there} in {paths[0]}; they cannot translate together")
    found = [system.result(workdir) for system, workdir in zip(systems, workdirs, strict=True)]
    params, steps = [params for params, _ in found], [steps for _, steps in found]
    if len(systems) == 1:
        return Trained(first, params[0], steps)
    together: Any = _Together(tuple(system.model for system in systems))
    return Trained(dataclasses.replace(first, model=together), params, steps)


def _in(dtype: str | None, spec: Spec) -> Spec:
    model = dataclasses.replace(spec.model, dtype=dtype or spec.model.dtype)
    if model.attention_kernel == "cudnn" and model.dtype != spec.model.dtype:  # which multiplies 16 bits alone
        model = dataclasses.replace(model, attention_kernel="xla")
    return dataclasses.replace(spec, model=model)
