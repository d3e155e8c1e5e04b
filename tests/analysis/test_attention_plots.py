"""Attention weights of a model whose attention is known, and figures of attention."""

import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

from configs import base
from transformer.analysis.attention_plots import (
    cross_attention,
    draw_attention,
    draw_cross_attention,
    has_cross_attention,
)
from transformer.models.build import abstract_model
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.spec import BOS, EOS, PAD, Spec

HEADS = 3
SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def score(layer: int, head: int, read: int, source: int) -> float:
    """Score of the test model for a source token after it has read a target token."""
    return (7 * layer + 5 * head + 3 * read + source * source) % 11 / 2


class KnownAttention:
    """A model whose cross-attention is a softmax of `score`."""

    def __init__(self, layers: int) -> None:
        self.layers = layers

    def encode(self, source_BS: jax.Array, dropout: object = None) -> Memory:
        return Memory(source_BS[..., None].astype(jnp.float32), source_BS != PAD, {"encoder/0": jnp.zeros(())})

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: object = None) -> Decoded:
        source_BHTS = memory.states_BSD[:, None, None, :, 0]
        read_BHTS = target_BT[:, None, :, None]
        head_BHTS = jnp.arange(HEADS)[None, :, None, None]
        attention = {"decoder/0": jnp.zeros(())}
        for layer in range(self.layers):
            scores_BHTS = (7 * layer + 5 * head_BHTS + 3 * read_BHTS + source_BHTS**2) % 11 / 2
            attention[f"cross/{layer}"] = jax.nn.softmax(scores_BHTS)
        return Decoded(memory.states_BSD, attention)

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        raise NotImplementedError

    def start(self, memory: Memory, beams: int, max_length: int) -> DecodeState:
        raise NotImplementedError

    def step(self, state: DecodeState, token_BN: jax.Array, position_B: jax.Array) -> tuple[jax.Array, DecodeState]:
        raise NotImplementedError


def test_row_t_holds_the_weights_that_predict_token_t() -> None:
    """The first row follows BOS, the source ends with EOS, and layer 10 follows layer 9."""
    layers = 12
    weights = cross_attention(KnownAttention(layers), SOURCE, TARGET)
    read, source = [BOS, *TARGET[:-1]], [*SOURCE, EOS]
    expected = np.exp(
        [[[[score(n, h, t, s) for s in source] for t in read] for h in range(HEADS)] for n in range(layers)]
    )
    expected /= expected.sum(axis=-1, keepdims=True)
    assert weights.dtype == np.float32
    assert weights.shape == (layers, HEADS, len(TARGET), len(SOURCE) + 1)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_a_model_without_cross_attention_is_rejected() -> None:
    assert not has_cross_attention(KnownAttention(layers=0))
    assert has_cross_attention(KnownAttention(layers=1))
    with pytest.raises(ValueError, match="no cross-attention"):
        cross_attention(KnownAttention(layers=0), SOURCE, TARGET)


def test_the_weights_of_a_transformer() -> None:
    config = base.get_config().to_dict()
    config["model"] |= {"d_model": 6, "d_ff": 7, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
    shapes = abstract_model(Spec.from_config(config).model, 17)
    generator = np.random.default_rng(0)
    model = jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), shapes)
    weights = cross_attention(model, SOURCE, TARGET)
    assert weights.shape == (2, 2, len(TARGET), len(SOURCE) + 1)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert len({row.tobytes() for row in weights.reshape(-1, len(SOURCE) + 1)}) == 2 * 2 * len(TARGET)


def panels(weights: np.ndarray, source: list[str], target: list[str], path: Path) -> np.ndarray:
    """Draws a figure and reads it back: floats in [0, 1], [height, width, 4]."""
    draw_cross_attention(weights, source, target, path, title="un chat → a cat")
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    picture = matplotlib.image.imread(path)
    assert struct.unpack(">II", data[16:24]) == (picture.shape[1], picture.shape[0])
    return picture


def test_cells_are_coloured_by_their_weight(tmp_path: Path) -> None:
    """Cells are blue in proportion to the weight: only weights of one have the darkest blue."""
    weights = np.zeros((2, HEADS, 3, 5), np.float32)
    source, target = ["▁un", "▁chat", "▁dort", ".", "</s>"], ["▁a", "▁cat", "</s>"]
    blank = panels(weights, source, target, tmp_path / "folder" / "blank.png")
    weights[1, 2, 0, 4] = 1  # one cell of one head of the last layer: 1 in the head, and 1/3 in the mean
    drawn = panels(weights, source, target, tmp_path / "drawn.png")
    assert drawn.shape == blank.shape
    height, width = drawn.shape[:2]
    assert 250 < height < 2000
    assert 350 < width < 2000
    changed = np.abs(drawn - blank).max(axis=-1) > 0.01
    rows, columns = np.nonzero(changed)
    darkest = (np.abs(drawn[..., :3] - np.array([8, 48, 107]) / 255) < 0.01).all(axis=-1)  # the end of "Blues"
    assert 0.4 < darkest.sum() / changed.sum() < 0.6
    assert 0.001 < darkest.sum() / changed.size < 0.03
    assert rows.max() - rows.min() > height / 4  # two panels, in two rows or two columns
    assert columns.max() > width / 4


def test_more_layers_and_longer_sentences_give_a_larger_figure(tmp_path: Path) -> None:
    def size(layers: int, tokens: int) -> tuple[int, ...]:
        weights = np.full((layers, 1, tokens, tokens), 1 / tokens, np.float32)
        return panels(weights, ["▁un"] * tokens, ["▁a"] * tokens, tmp_path / "picture.png").shape[:2]

    small = size(1, 3)
    assert all(more > less for more, less in zip(size(4, 3), small, strict=True))
    assert all(more > less for more, less in zip(size(1, 7), small, strict=True))


@pytest.mark.parametrize("token", ["$$", "$x^$", "_{", "\\", "%"])
def test_tokens_are_drawn_verbatim(token: str, tmp_path: Path) -> None:
    """Matplotlib would parse text between dollar signs as a formula."""
    path = tmp_path / "picture.png"
    draw_cross_attention(np.ones((1, 1, 1, 2), np.float32) / 2, [token, "a"], [token], path, title=f"{token} → {token}")
    assert path.stat().st_size > 2000


def test_one_figure_per_kind_with_every_layer_and_head(tmp_path: Path) -> None:
    """Changing one cell of one head of the second layer changes only that panel; dollar signs are drawn verbatim."""
    source, target = ["$a$", "b", "c", "</s>", "d"], ["x", "$_{$", "</s>"]
    labels = {"encoder": source, "cross": target}, {"encoder": source, "cross": source}
    attention = {f"cross/{layer}": np.zeros((3, 3, 5), np.float32) for layer in range(2)}
    attention["encoder/0"] = np.zeros((3, 5, 5), np.float32)
    blank = draw_attention(attention, *labels, tmp_path / "blank")
    assert [path.name for path in blank] == [
        "attention_encoder.png", "attention_encoder.svg", "attention_cross.png", "attention_cross.svg",
    ]  # fmt: skip
    attention["cross/1"][2, 0, 4] = 1
    drawn = draw_attention(attention, *labels, tmp_path / "drawn")
    for before, after in zip(blank[:2], drawn[:2], strict=True):
        assert before.read_bytes() == after.read_bytes()
    pixels = [matplotlib.image.imread(paths[2])[..., :3] for paths in (blank, drawn)]
    rows, columns = np.nonzero(np.abs(pixels[1] - pixels[0]).max(axis=-1) > 0.01)
    height, width = pixels[0].shape[:2]
    assert rows.min() > height / 2  # the second layer is in the lower row
    assert columns.min() > 0.8 * width  # and the last head in the right column
    assert drawn[3].read_bytes() != blank[3].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("size", [70, 700])
def test_the_figure_of_a_long_sentence_shows_its_first_tokens(tmp_path, size):
    """The picture does not grow with the sentence."""
    weights = np.full((1, 1, size, size), 1 / size, np.float32)
    labels = [f"token {index}" for index in range(size)]
    draw_cross_attention(weights, labels, labels, tmp_path / "long.png")
    draw_cross_attention(weights[..., :64, :64], labels[:64], labels[:64], tmp_path / "short.png", "other title")
    shapes = [matplotlib.image.imread(tmp_path / name).shape for name in ("long.png", "short.png")]
    assert shapes[0] == shapes[1]
