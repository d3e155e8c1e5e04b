"""Where the model looks, against a model whose attention is known, and the picture of it."""

import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from flax import nnx

from configs import base
from transformer.analysis.attention import cross_attention, draw
from transformer.models.build import build
from transformer.models.interface import Decoded, DecodeState, Memory
from transformer.spec import BOS, EOS, PAD, Spec

HEADS = 3
SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def score(layer: int, head: int, read: int, source: int) -> float:
    """How much the model of these tests looks at a source token after it has read a target token."""
    return (7 * layer + 5 * head + 3 * read + source * source) % 11 / 2


class Known:
    """A model that attends by `score`, and does nothing else."""

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

    def start(self, memory: Memory, beams: int, max_length: int, frugal: bool = False) -> DecodeState:
        raise NotImplementedError

    def step(self, state: DecodeState, token_BN: jax.Array, position: jax.Array) -> tuple[jax.Array, DecodeState]:
        raise NotImplementedError


def test_rows_are_where_the_model_looks_to_predict_each_token() -> None:
    """The first row is read after BOS, the source ends with EOS, and layer 10 comes after layer 9."""
    layers = 12
    weights = cross_attention(Known(layers), SOURCE, TARGET)
    read, source = [BOS, *TARGET[:-1]], [*SOURCE, EOS]
    expected = np.exp(
        [[[[score(n, h, t, s) for s in source] for t in read] for h in range(HEADS)] for n in range(layers)]
    )
    expected /= expected.sum(axis=-1, keepdims=True)
    assert weights.dtype == np.float32
    assert weights.shape == (layers, HEADS, len(TARGET), len(SOURCE) + 1)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_a_model_without_cross_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="no cross-attention"):
        cross_attention(Known(layers=0), SOURCE, TARGET)


def test_the_transformer_can_be_looked_into() -> None:
    config = base.get_config().to_dict()
    config["model"] |= {"d_model": 6, "d_ff": 7, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
    shapes = nnx.eval_shape(lambda: build(Spec.from_config(config).model, 17, jax.random.key(0)))
    generator = np.random.default_rng(0)
    model = jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), shapes)
    weights = cross_attention(model, SOURCE, TARGET)
    assert weights.shape == (2, 2, len(TARGET), len(SOURCE) + 1)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert len({row.tobytes() for row in weights.reshape(-1, len(SOURCE) + 1)}) == 2 * 2 * len(TARGET)


def panels(weights: np.ndarray, source: list[str], target: list[str], path: Path) -> np.ndarray:
    """Draws, and reads the picture back: floats in [0, 1], [height, width, 4]."""
    draw(weights, source, target, path, title="un chat → a cat")
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    picture = matplotlib.image.imread(path)
    assert struct.unpack(">II", data[16:24]) == (picture.shape[1], picture.shape[0])
    return picture


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    """Cells are blue in proportion: of the darkest blue there is as much as there are weights of one."""
    weights = np.zeros((2, HEADS, 3, 5), np.float32)
    source, target = ["▁un", "▁chat", "▁dort", ".", "</s>"], ["▁a", "▁cat", "</s>"]
    blank = panels(weights, source, target, tmp_path / "folder" / "blank.png")
    weights[1, 2, 0, 4] = 1  # one cell of one head of the last layer: one full cell, and one of a third in the mean
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
    assert rows.max() - rows.min() > height / 4  # two panels, below each other or side by side
    assert columns.max() > width / 4


def test_more_layers_and_longer_sentences_make_a_larger_picture(tmp_path: Path) -> None:
    def size(layers: int, tokens: int) -> tuple[int, ...]:
        weights = np.full((layers, 1, tokens, tokens), 1 / tokens, np.float32)
        return panels(weights, ["▁un"] * tokens, ["▁a"] * tokens, tmp_path / "picture.png").shape[:2]

    small = size(1, 3)
    assert all(more > less for more, less in zip(size(4, 3), small, strict=True))
    assert all(more > less for more, less in zip(size(1, 7), small, strict=True))


@pytest.mark.parametrize("token", ["$$", "$x^$", "_{", "\\", "%"])
def test_tokens_are_drawn_as_they_are(token: str, tmp_path: Path) -> None:
    """Matplotlib reads what stands between dollars as a formula."""
    path = tmp_path / "picture.png"
    draw(np.ones((1, 1, 1, 2), np.float32) / 2, [token, "a"], [token], path, title=f"{token} → {token}")
    assert path.stat().st_size > 2000
