"""Attention as figures: the cross-attention of one sentence, and every layer and head of all attentions."""

import pathlib
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from transformer.analysis.figure import PLAIN_TEXT, new_figure, optional, save_figure
from transformer.analysis.forced_decoding import KINDS, teacher_forcing_inputs
from transformer.models.interface import Seq2Seq

_Labels = Mapping[str, Sequence[str]]  # of tokens, by kind of attention
_MAX_TOKENS = 64  # per side of a panel; only the first tokens of longer sentences are drawn
_CROSS = "cross/"
_TITLES = {
    "encoder": "encoder self-attention: source token (row) to source token (column)",
    "decoder": "decoder self-attention: predicted token (row) to previous token (column)",
    "cross": "cross-attention: predicted token (row) to source token (column)",
}


def has_cross_attention(model: Seq2Seq) -> bool:
    """Whether the model has cross-attention, from shapes only."""
    ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    decoded = jax.eval_shape(lambda ids: model.decode(model.encode(ids), ids).attention, ids)
    return any(name.startswith(_CROSS) for name in decoded)


def cross_attention(model: Seq2Seq, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
    """Returns the weights of every layer and head for a pair: float32 [layers, H, T, S]; each row sums to one.

    Row t holds the weights with which the model predicts token t of `target`.

    Args:
      model: a model whose `decode` returns attention weights named "cross/0", "cross/1", ...
      source: ids without EOS, which is added.
      target: ids with EOS.

    Raises:
      ValueError: the model has no cross-attention.
    """

    @jax.jit
    def attend(source_BS: jax.Array, input_BT: jax.Array) -> dict[str, jax.Array]:
        return model.decode(model.encode(source_BS), input_BT).attention

    weights = attend(*teacher_forcing_inputs(source, target))
    names = sorted((name for name in weights if name.startswith(_CROSS)), key=lambda name: int(name[len(_CROSS) :]))
    if not names:
        raise ValueError("the model has no cross-attention")
    return np.stack([np.asarray(weights[name][0], np.float32) for name in names])


def draw_cross_attention(
    weights: np.ndarray, source: Sequence[str], target: Sequence[str], path: pathlib.Path, title: str = ""
) -> None:
    """Draws the mean over heads of each layer, and every head of the last layer; writes a PNG file.

    Of long sentences it draws the first tokens.

    Args:
      weights: [layers, H, T, S].
      source: S labels.
      target: T labels.
      path: of the file, with suffix ".png"; its folder is created.
    """
    title = (title or _TITLES["cross"]) + _extent(source, target)
    source, target, weights = source[:_MAX_TOKENS], target[:_MAX_TOKENS], weights[..., :_MAX_TOKENS, :_MAX_TOKENS]
    layers, heads = weights.shape[:2]
    panels = [(f"layer {layer + 1}, mean of heads", weights[layer].mean(axis=0)) for layer in range(layers)]
    panels += [(f"layer {layers}, head {head + 1}", weights[-1, head]) for head in range(heads)]
    columns = max(2, int(np.ceil(np.sqrt(len(panels)))))
    rows = -(-len(panels) // columns)
    size = (0.26 * len(source) + 1.3, 0.24 * len(target) + 1.3)
    figure = new_figure(columns * size[0], rows * size[1] + 0.4)
    figure.suptitle(title, fontsize=11, **PLAIN_TEXT)
    for number, (name, weights_TS) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(weights_TS, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_title(name, fontsize=9)
        axes.set_xticks(range(len(source)), source, rotation=90, fontsize=8, **PLAIN_TEXT)
        axes.set_yticks(range(len(target)), target, fontsize=8, **PLAIN_TEXT)
        axes.tick_params(length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path.with_suffix(""), ["png"], dpi=110)


def draw_attention(
    attention: Mapping[str, np.ndarray], rows: _Labels, columns: _Labels, folder: pathlib.Path
) -> list[pathlib.Path]:
    """Draws one figure per kind of attention, a row per layer and a column per head, as PNG and SVG; returns the files.

    Of long sentences it draws the first tokens. A figure that cannot be drawn is a warning.

    Args:
      attention: [H, rows, columns] by name, "encoder/0".
      rows: row labels by kind, "encoder".
      columns: column labels by kind.
      folder: created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for kind in KINDS:
        layers = [weights for name, weights in attention.items() if name.startswith(f"{kind}/")]
        if layers:
            path = folder / f"attention_{kind}"
            files += _draw_kind(layers, rows[kind], columns[kind], path, _TITLES[kind]) or []
    return files


def _extent(*sides: Sequence[str]) -> str:
    """Returns a note for the title of a figure that shows only the first tokens."""
    size = max(map(len, sides))
    return f"; the first {_MAX_TOKENS} of {size} tokens" if size > _MAX_TOKENS else ""


@optional
def _draw_kind(
    layers: Sequence[np.ndarray], rows: Sequence[str], columns: Sequence[str], path: pathlib.Path, title: str
) -> list[pathlib.Path]:
    title += _extent(rows, columns)
    rows, columns = rows[:_MAX_TOKENS], columns[:_MAX_TOKENS]
    layers = [weights[:, :_MAX_TOKENS, :_MAX_TOKENS] for weights in layers]
    heads = max(len(weights) for weights in layers)
    size = (0.17 * len(columns) + 0.3, 0.17 * len(rows) + 0.4)
    figure = new_figure(heads * size[0] + 1.2, len(layers) * size[1] + 1.4)
    figure.suptitle(title, fontsize=9, **PLAIN_TEXT)
    for layer, weights in enumerate(layers):
        for head, weights_TS in enumerate(weights):
            axes = figure.add_subplot(len(layers), heads, layer * heads + head + 1)
            axes.imshow(weights_TS, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=7)
            # Labels only at the edges: the heads of a layer share their rows, and the layers their columns.
            last = layer == len(layers) - 1
            x_labels = columns if last else [""] * len(columns)
            y_labels = rows if head == 0 else [""] * len(rows)
            axes.set_xticks(range(len(columns)), x_labels, rotation=90, fontsize=6, **PLAIN_TEXT)
            axes.set_yticks(range(len(rows)), y_labels, fontsize=6, **PLAIN_TEXT)
            axes.tick_params(length=0)
    return save_figure(figure, path, ["png", "svg"], dpi=110)
