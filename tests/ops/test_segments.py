"""Where tokens stand in rows of several sentences; how models use it: tests/models/test_packed.py."""

import jax
import jax.numpy as jnp
import numpy as np

from transformer.ops import masks, segments
from transformer.spec import BOS, EOS, PAD

SOURCE = jnp.array([[7, 8, EOS, 9, EOS, PAD, PAD], [7, 7, 7, 7, 7, 7, EOS], [PAD] * 7])
TARGET = jnp.array([[BOS, 7, BOS, 8, 9, PAD, PAD]])


def packed(begins_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Positions and segments."""
    position_BT, segment_BT = segments.packed(begins_BT)
    assert segment_BT is not None
    return position_BT, segment_BT


def test_positions_begin_anew_with_each_sentence() -> None:
    position_BS, segment_BS = packed(segments.source_begins(SOURCE[:2]))
    np.testing.assert_array_equal(position_BS, [[0, 1, 2, 0, 1, 0, 1], range(7)])
    np.testing.assert_array_equal(segment_BS, [[1, 1, 1, 2, 2, 3, 3], [1] * 7])
    position_BT, segment_BT = packed(segments.target_begins(TARGET))
    np.testing.assert_array_equal(position_BT, [[0, 1, 0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(segment_BT, [[1, 1, 2, 2, 2, 3, 3]])


def test_a_row_of_one_sentence_has_positions_that_all_rows_share() -> None:
    places = segments.alone(segments.source_begins(SOURCE))
    np.testing.assert_array_equal(places.position_T, range(7))
    assert places.segment_BT is None


def test_a_position_sees_its_own_sentence() -> None:
    _, segment_BT = packed(segments.target_begins(TARGET))
    _, segment_BS = packed(segments.source_begins(SOURCE[:1]))
    seen = masks.within(masks.padding(masks.is_token(SOURCE[:1])), segment_BT, segment_BS)
    expected = [[1, 1, 1, 0, 0, 0, 0]] * 2 + [[0, 0, 0, 1, 1, 0, 0]] * 3 + [[0] * 7] * 2
    np.testing.assert_array_equal(masks.written_out(seen)[0, 0], expected)


def test_a_mask_of_rows_of_one_sentence_stays_as_it_is() -> None:
    mask = masks.causal(7)
    assert masks.within(mask, None, None) is mask
