"""The step that `experiments.train` compiles, on the devices that it would use, as a worker."""

import functools
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from configs import base
from experiments.benchmark import works
from experiments.benchmark.peers import worker
from experiments.runtime import xla_env
from transformer.spec import Spec

LEARNING_RATE = 1e-3


def config(work: works.Work, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a work; all else is as in configs/base.py, but for changes such as "train.loss_chunk=512"."""
    settings = base.get_config().to_dict()
    settings["model"] |= {
        "d_model": work.d_model,
        "d_ff": work.d_ff,
        "heads": work.heads,
        "encoder_layers": work.layers,
        "decoder_layers": work.layers,
        "dropout_embedding": work.dropout,
        "dropout_sublayer": work.dropout,
        "dtype": work.dtype,
    }
    settings["data"]["vocab_size"] = work.vocabulary
    settings["train"] |= {
        "learning_rate": LEARNING_RATE,
        "schedule": "constant",
        "warmup_steps": 1,
        "label_smoothing": work.smoothing,
    }
    chosen = ConfigDict(settings)
    chosen.update_from_flattened_dict(
        {key: _value(value) for key, _, value in (each.partition("=") for each in changes)}
    )
    return chosen.to_dict()


def _value(text: str) -> Any:
    """A number, a boolean or nothing as JSON has them; any other text as it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


class Ours:
    """This codebase.

    Args:
      work: what is trained.
      given: the batches.
      changes: of settings.
    """

    def __init__(self, work: works.Work, given: list[works.Batch], changes: Sequence[str] = ()) -> None:
        spec = Spec.from_config(config(work, changes))
        xla_env.prepare(spec.parallel.cpu_devices)
        import jax

        from experiments.runs.system import System
        from transformer.training.state import count

        system = System.without_text(spec)
        place = system.placement
        self.parameters = count(system.shapes)
        self.versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")}
        self.device = jax.devices()[0].device_kind
        self.dtype = spec.model.dtype
        self._step = place.compile_step(system.model, system.spec.train)
        self._state = place.distribute(system.fresh_state())
        self._numbers = place.distribute(system.numbers)
        self._batches = [tuple(place.shard(side) for side in batch) for batch in given]
        self._sums: Any = None

    def update(self, number: int) -> None:
        """Begins an update."""
        self._state, self._sums = self._step(self._state, *self._batches[number], self._numbers)

    def loss(self) -> float:
        """Of the last update."""
        return float(self._sums.sums.loss) / float(self._sums.sums.weight)

    def peak_bytes(self) -> int:
        """On the accelerator, or of the process."""
        import jax

        return worker.peak_on(jax.devices()[0])


if __name__ == "__main__":
    sys.exit(worker.serve(functools.partial(Ours, changes=sys.argv[2:])))
