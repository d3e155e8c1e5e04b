"""The layout of packed rows. tests/models/test_packed.py tests how models use it."""

import jax
import jax.numpy as jnp
import numpy as np

from transformer.ops import masks, segments
from transformer.spec import BOS, EOS, PAD

SOURCE = jnp.array([[7, 8, EOS, 9, EOS, PAD, PAD], [7, 7, 7, 7, 7, 7, EOS], [PAD] * 7])
TARGET = jnp.array([[BOS, 7, BOS, 8, 9, PAD, PAD]])


def packed(starts_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns positions and segments."""
    position_BT, segment_BT = segments.packed(starts_BT)
    assert segment_BT is not None
    return position_BT, segment_BT


def test_positions_restart_with_each_sentence() -> None:
    position_BS, segment_BS = packed(segments.source_starts(SOURCE[:2]))
    np.testing.assert_array_equal(position_BS, [[0, 1, 2, 0, 1, 0, 1], range(7)])
    np.testing.assert_array_equal(segment_BS, [[1, 1, 1, 2, 2, 3, 3], [1] * 7])
    position_BT, segment_BT = packed(segments.target_starts(TARGET))
    np.testing.assert_array_equal(position_BT, [[0, 1, 0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(segment_BT, [[1, 1, 2, 2, 2, 3, 3]])


def test_rows_of_one_sentence_share_their_positions() -> None:
    layout = segments.one_per_row(segments.source_starts(SOURCE))
    np.testing.assert_array_equal(layout.position_T, range(7))
    assert layout.segment_BT is None


def test_a_position_sees_only_its_segment() -> None:
    _, segment_BT = packed(segments.target_starts(TARGET))
    _, segment_BS = packed(segments.source_starts(SOURCE[:1]))
    mask = masks.with_segments(masks.padding(masks.is_token(SOURCE[:1])), segment_BT, segment_BS)
    expected = [[1, 1, 1, 0, 0, 0, 0]] * 2 + [[0, 0, 0, 1, 1, 0, 0]] * 3 + [[0] * 7] * 2
    np.testing.assert_array_equal(masks.materialise(mask)[0, 0], expected)


def test_without_segments_the_mask_is_unchanged() -> None:
    mask = masks.causal(7)
    assert masks.with_segments(mask, None, None) is mask
