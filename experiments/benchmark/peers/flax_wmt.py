"""Flax's own example of machine translation, `examples/wmt`, as a worker: its model, loss and step; pre-norm.

On a CPU it has one device, with all cores, as whoever runs the example has; and its step counts right words, too.

Its environment, with the source of Flax, where the example is: `python3 -m venv .venv-peers/flax &&
.venv-peers/flax/bin/pip install flax && .venv-peers/flax/bin/pip download --no-deps --no-binary=flax
--dest=.venv-peers/flax flax && tar xzf .venv-peers/flax/flax-*.tar.gz -C .venv-peers/flax`.
"""

import functools
import importlib
import math
import pathlib
import sys
from importlib.metadata import version
from typing import Any
from unittest.mock import MagicMock

import jax
import numpy as np
import optax
from flax import jax_utils
from flax import linen as nn
from flax.training import common_utils

from experiments.benchmark import works
from experiments.benchmark.peers import worker

_RATE = 1e-3  # of learning
# What the example imports for its data and its logs, which a step does not touch.
_UNUSED = ("clu", "ml_collections", "tensorflow", "input_pipeline", "bleu")


class Example:
    """The example in training, as its `train_and_evaluate` does it.

    Args:
      work: what is trained.
      given: the batches.
    """

    def __init__(self, work: works.Work, given: list[works.Batch]) -> None:
        models, train = _modules()
        config = models.TransformerConfig(
            vocab_size=work.vocabulary,
            output_vocab_size=work.vocabulary,
            share_embeddings=True,
            logits_via_embedding=True,
            dtype=work.dtype,
            emb_dim=work.d_model,
            num_heads=work.heads,
            num_layers=work.layers,
            qkv_dim=work.d_model,
            mlp_dim=work.d_ff,
            max_len=work.width,
            dropout_rate=work.dropout,
            attention_dropout_rate=0.0,
        )
        key, dropout_key = jax.random.split(jax.random.key(0))
        model = models.Transformer(config.replace(deterministic=True))
        params = jax.jit(model.init)(key, *(np.ones_like(side) for side in given[0]))["params"]
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        self.versions = {name: version(name) for name in ("flax", "jax")}
        self.device = jax.devices()[0].device_kind
        self.dtype = work.dtype
        state = train.TrainState.create(
            apply_fn=model.apply,
            params=params,
            # Others multiply embeddings by √d_model: these, larger by as much, learn alike at a rate as much larger.
            tx=optax.partition(
                {"embedding": _adam(_RATE * math.sqrt(work.d_model)), "other": _adam(_RATE)},
                lambda params: jax.tree.map_with_path(_kind, params),
            ),
            dynamic_scale=None,
        )
        self._state = jax_utils.replicate(state)
        step = functools.partial(
            train.train_step, config=config, learning_rate_fn=lambda _: _RATE, label_smoothing=work.smoothing
        )
        self._step = jax.pmap(step, axis_name="batch", donate_argnums=(0,))
        self._keys = jax.random.split(dropout_key, jax.local_device_count())
        self._batches = [common_utils.shard(dict(zip(("inputs", "targets"), batch, strict=True))) for batch in given]
        # Its metrics are not of the smoothed loss, and its smoothed loss is less a constant. Smoothed, XLA finds that
        # they are the loss once more, and does without work that the example has.
        train.compute_metrics = functools.partial(train.compute_metrics, label_smoothing=work.smoothing)
        low = work.smoothing / (work.vocabulary - 1)
        self._constant = -((1 - work.smoothing) * math.log(1 - work.smoothing) + work.smoothing * math.log(low))
        self._metrics: Any = None
        self._without_dropout = functools.partial(_without_inner_dropout, models.MlpBlock)

    def update(self, number: int) -> None:
        """Begins an update."""
        with nn.intercept_methods(self._without_dropout):
            self._state, self._metrics = self._step(self._state, self._batches[number], dropout_rng=self._keys)

    def loss(self) -> float:
        """Of the last update."""
        loss, tokens = (float(self._metrics[name][0]) for name in ("loss", "denominator"))
        return loss / tokens + self._constant

    def peak_bytes(self) -> int:
        """On the accelerator, or of the process."""
        return worker.peak_on(jax.devices()[0])


def _modules() -> tuple[Any, Any]:
    """The example's `models` and `train`."""
    folder = next(pathlib.Path(sys.prefix).glob("flax-*/examples/wmt"), None)
    if folder is None:
        raise FileNotFoundError(f"{sys.prefix}: no source of Flax, flax-*/examples/wmt")
    importlib.import_module("flax.training.checkpoints")  # looks whether TensorFlow is there, before something is
    sys.path.insert(0, str(folder))
    sys.modules |= {name: MagicMock() for name in _UNUSED}
    return importlib.import_module("models"), importlib.import_module("train")


def _adam(rate: float) -> optax.GradientTransformation:
    return optax.adamw(rate, b1=0.9, b2=0.98, eps=1e-9, weight_decay=0.0)


def _kind(path: Any, parameter: Any) -> str:
    del parameter
    return "embedding" if "embedding" in jax.tree_util.keystr(path) else "other"


def _without_inner_dropout(inner: type[nn.Module], call: Any, arguments: Any, options: Any, context: Any) -> Any:
    """Leaves out dropout inside the feed-forward network, the first of two there."""
    module = context.module
    if isinstance(module, nn.Dropout) and isinstance(module.parent, inner) and module.name == "Dropout_0":
        return arguments[0]
    return call(*arguments, **options)


if __name__ == "__main__":
    sys.exit(worker.serve(Example))
