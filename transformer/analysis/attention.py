"""Which source token each output token looks at: the cross-attention of one sentence, as numbers and as a picture."""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from transformer.models.interface import Seq2Seq
from transformer.spec import BOS, EOS

_PREFIX = "cross/"


def has_cross_attention(model: Seq2Seq) -> bool:
    """Whether there is anything for `cross_attention` to show; nothing is computed."""
    ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    decoded = jax.eval_shape(lambda ids: model.decode(model.encode(ids), ids).attention, ids)
    return any(name.startswith(_PREFIX) for name in decoded)


def cross_attention(model: Seq2Seq, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
    """Weights of every layer and head while `target` is read; float32 [layers, H, T, S], each row sums to one.

    Row t is where the model looks to predict token t of `target`.

    Args:
      model: any model whose `decode` returns attention weights named "cross/0", "cross/1", ...
      source: ids without EOS, which is added.
      target: ids with EOS.

    Raises:
      ValueError: the model has no cross-attention.
    """
    source_BS = jnp.array([[*source, EOS]], jnp.int32)
    input_BT = jnp.array([[BOS, *target[:-1]]], jnp.int32)

    @jax.jit
    def run(source_BS: jax.Array, input_BT: jax.Array) -> dict[str, jax.Array]:
        return model.decode(model.encode(source_BS), input_BT).attention

    weights = run(source_BS, input_BT)
    names = sorted((name for name in weights if name.startswith(_PREFIX)), key=lambda name: int(name[len(_PREFIX) :]))
    if not names:
        raise ValueError("the model has no cross-attention to look at")
    return np.stack([np.asarray(weights[name][0], np.float32) for name in names])


def draw(
    weights: np.ndarray, source: Sequence[str], target: Sequence[str], path: pathlib.Path, title: str = ""
) -> None:
    """Draws, for each layer, the mean over its heads, and beside them every head of the last layer; writes a PNG.

    Args:
      weights: [layers, H, T, S].
      source: S labels.
      target: T labels.
      path: of the picture; its folder is made.
      title: above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import; no window system is touched
    from matplotlib.figure import Figure

    layers, heads = weights.shape[:2]
    panels = [(f"layer {layer + 1}, mean of heads", weights[layer].mean(axis=0)) for layer in range(layers)]
    panels += [(f"layer {layers}, head {head + 1}", weights[-1, head]) for head in range(heads)]
    columns = max(2, int(np.ceil(np.sqrt(len(panels)))))
    rows = -(-len(panels) // columns)
    size = (0.26 * len(source) + 1.3, 0.24 * len(target) + 1.3)
    figure = Figure(figsize=(columns * size[0], rows * size[1] + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    text = {"parse_math": False}  # a token may hold dollar signs, and what stands between two is no formula
    title = title or "cross-attention: the source token (column) each output token (row) looks at"
    figure.suptitle(title, fontsize=11, **text)
    for number, (name, weights_TS) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(weights_TS, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_title(name, fontsize=9)
        axes.set_xticks(range(len(source)), source, rotation=90, fontsize=8, **text)
        axes.set_yticks(range(len(target)), target, fontsize=8, **text)
        axes.tick_params(length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
