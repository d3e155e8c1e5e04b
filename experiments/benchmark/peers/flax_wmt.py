"""Peer: the model, loss and step of Flax's machine translation example, `examples/wmt`; pre-norm.

On a CPU the example has one device with all cores, as when a user runs it. Its step also computes the accuracy.

To install it, with the source of Flax, which contains the example: `python3 -m venv .venv-peers/flax &&
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

from experiments.benchmark.peers import worker
from experiments.benchmark.workloads import SentenceBatch, Workload

_LEARNING_RATE = 1e-3
# Modules that the example imports for data and logging; a step does not use them.
_UNUSED = ("clu", "ml_collections", "tensorflow", "input_pipeline", "bleu")


class ExampleTrainer:
    """Trains as the example's `train_and_evaluate` does.

    Args:
      workload: the model and its training settings.
      batches: the batches.
    """

    def __init__(self, workload: Workload, batches: list[SentenceBatch]) -> None:
        jax.config.update("jax_default_matmul_precision", "float32")  # as model.matmul_precision, our default
        models, train = _modules()
        config = _config(models, workload)
        key, dropout_key = jax.random.split(jax.random.key(0))
        model = models.Transformer(config.replace(deterministic=True))
        params = jax.jit(model.init)(key, *(np.ones_like(side) for side in batches[0]))["params"]
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        self.versions = {name: version(name) for name in ("flax", "jax")}
        self.device = jax.devices()[0].device_kind
        self.dtype = workload.dtype
        state = train.TrainState.create(
            apply_fn=model.apply,
            params=params,
            # The other libraries scale embeddings by √d_model. The example's embeddings are larger by that factor, and
            # a learning rate that is larger by the same factor trains them equally.
            tx=optax.partition(
                {"embedding": _adam(_LEARNING_RATE * math.sqrt(workload.d_model)), "other": _adam(_LEARNING_RATE)},
                lambda params: jax.tree.map_with_path(_parameter_group, params),
            ),
            dynamic_scale=None,
        )
        self._state = jax_utils.replicate(state)
        step = functools.partial(
            train.train_step,
            config=config,
            learning_rate_fn=lambda _: _LEARNING_RATE,
            label_smoothing=workload.smoothing,
        )
        self._step = jax.pmap(step, axis_name="batch", donate_argnums=(0,))
        self._keys = jax.random.split(dropout_key, jax.local_device_count())
        self._batches = [common_utils.shard(dict(zip(("inputs", "targets"), batch, strict=True))) for batch in batches]
        # The example's metrics do not smooth the loss, and its smoothed loss subtracts a constant. With smoothed
        # metrics, XLA finds that they equal the loss and skips work that the example does.
        train.compute_metrics = functools.partial(train.compute_metrics, label_smoothing=workload.smoothing)
        low = workload.smoothing / (workload.vocabulary - 1)
        self._constant = -(
            (1 - workload.smoothing) * math.log(1 - workload.smoothing) + workload.smoothing * math.log(low)
        )
        self._metrics: Any = None
        self._without_dropout = functools.partial(_without_inner_dropout, models.MlpBlock)

    def update(self, index: int) -> None:
        """Dispatches an update."""
        with nn.intercept_methods(self._without_dropout):
            self._state, self._metrics = self._step(self._state, self._batches[index], dropout_rng=self._keys)

    def loss(self) -> float:
        """Returns the loss of the last update."""
        loss, tokens = (float(self._metrics[name][0]) for name in ("loss", "denominator"))
        return loss / tokens + self._constant

    def peak_bytes(self) -> int:
        """Returns the peak memory of the accelerator, or of the process."""
        return worker.device_peak_bytes(jax.devices()[0])


def _modules() -> tuple[Any, Any]:
    """Returns the example's modules `models` and `train`."""
    folder = next(pathlib.Path(sys.prefix).glob("flax-*/examples/wmt"), None)
    if folder is None:
        raise FileNotFoundError(f"{sys.prefix}: no source of Flax, flax-*/examples/wmt")
    importlib.import_module("flax.training.checkpoints")  # checks for TensorFlow, before the mock below exists
    sys.path.insert(0, str(folder))
    sys.modules |= {name: MagicMock() for name in _UNUSED}
    return importlib.import_module("models"), importlib.import_module("train")


def _config(models: Any, workload: Workload) -> Any:
    return models.TransformerConfig(
        vocab_size=workload.vocabulary,
        output_vocab_size=workload.vocabulary,
        share_embeddings=True,
        logits_via_embedding=True,
        dtype=workload.dtype,
        emb_dim=workload.d_model,
        num_heads=workload.heads,
        num_layers=workload.layers,
        qkv_dim=workload.d_model,
        mlp_dim=workload.d_ff,
        max_len=workload.width,
        dropout_rate=workload.dropout,
        attention_dropout_rate=0.0,
    )


def _adam(learning_rate: float) -> optax.GradientTransformation:
    return optax.adamw(learning_rate, b1=0.9, b2=0.98, eps=1e-9, weight_decay=0.0)


def _parameter_group(path: Any, parameter: Any) -> str:
    del parameter
    return "embedding" if "embedding" in jax.tree_util.keystr(path) else "other"


def _without_inner_dropout(inner: type[nn.Module], call: Any, arguments: Any, options: Any, context: Any) -> Any:
    """Skips dropout inside the feed-forward network, the first of its two dropouts."""
    module = context.module
    if isinstance(module, nn.Dropout) and isinstance(module.parent, inner) and module.name == "Dropout_0":
        return arguments[0]
    return call(*arguments, **options)


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(ExampleTrainer))
