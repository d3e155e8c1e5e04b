"""Peer: the training step that `experiments.train` compiles, on the devices that it would use."""

import functools
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from configs import base
from experiments.benchmark.peers import worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from experiments.runtime import xla_env
from transformer.spec import Spec

LEARNING_RATE = 1e-3


def workload_config(workload: Workload, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Returns configs/base.py with the settings of a workload, and with overrides such as "train.loss_chunk=512"."""
    settings = base.get_config().to_dict()
    settings["model"] |= {
        "d_model": workload.d_model,
        "d_ff": workload.d_ff,
        "heads": workload.heads,
        "encoder_layers": workload.layers,
        "decoder_layers": workload.layers,
        "dropout_embedding": workload.dropout,
        "dropout_sublayer": workload.dropout,
        "dtype": workload.dtype,
    }
    settings["data"]["vocab_size"] = workload.vocabulary
    settings["train"] |= {
        "learning_rate": LEARNING_RATE,
        "schedule": "constant",
        "warmup_steps": 1,
        "label_smoothing": workload.smoothing,
    }
    config = ConfigDict(settings)
    keys_and_values = (override.partition("=") for override in overrides)
    config.update_from_flattened_dict({key: _parse_value(value) for key, _, value in keys_and_values})
    return config.to_dict()


def _parse_value(text: str) -> Any:
    """Parses a number, a boolean or null as JSON; returns any other text unchanged."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


class OurTrainer:
    """Trains with this codebase.

    Args:
      workload: the model and its training settings.
      batches: the batches.
      overrides: overrides of the config.
    """

    def __init__(self, workload: Workload, batches: list[SentenceBatch], overrides: Sequence[str] = ()) -> None:
        spec = Spec.from_config(workload_config(workload, overrides))
        xla_env.prepare_for(spec.parallel)
        import jax

        from experiments.runs.system import System
        from transformer.training.state import parameter_count

        system = System.without_corpus(spec)
        partitioner = system.partitioner
        self.parameters = parameter_count(system.param_shapes)
        self.versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")}
        self.device = jax.devices()[0].device_kind
        self.dtype = spec.model.dtype
        self._step = partitioner.compile_step(system.model, system.spec.train)
        self._state = partitioner.put_state(system.initial_state())
        self._hyperparams = partitioner.put_state(system.hyperparams)
        self._batches = [tuple(partitioner.shard(side) for side in batch) for batch in batches]
        self._sums: Any = None

    def update(self, index: int) -> None:
        """Dispatches an update."""
        self._state, self._sums = self._step(self._state, *self._batches[index], self._hyperparams)

    def loss(self) -> float:
        """Returns the loss of the last update."""
        return float(self._sums.sums.loss) / float(self._sums.sums.weight)

    def peak_bytes(self) -> int:
        """Returns the peak memory of the accelerator, or of the process."""
        import jax

        return worker.device_peak_bytes(jax.devices()[0])


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(functools.partial(OurTrainer, overrides=sys.argv[2:])))
