import jax.numpy as jnp
import numpy as np

from transformer.ops import masks
from transformer.spec import BOS, EOS, PAD, UNK


def drawn(*rows: str) -> np.ndarray:
    """Returns a mask from its drawing: "1 1 0" is a row that sees the first two columns."""
    return np.array([[int(digit) for digit in row.split()] for row in rows], bool)


def test_is_token_is_false_only_at_padding() -> None:
    ids_BS = jnp.array([[UNK, BOS, 7, EOS, PAD], [5, EOS, PAD, PAD, PAD], [PAD] * 5])
    np.testing.assert_array_equal(masks.is_token(ids_BS), drawn("1 1 1 1 0", "1 1 0 0 0", "0 0 0 0 0"))


def test_padding_hides_the_same_keys_from_every_query_and_head() -> None:
    mask_BS = drawn("1 1 0", "1 1 1")
    mask = np.asarray(masks.padding(jnp.asarray(mask_BS)))
    assert mask.shape == (2, 1, 1, 3)
    seen_BHTS = np.broadcast_to(mask, (2, 5, 2, 3))
    np.testing.assert_array_equal(seen_BHTS[0, 4], drawn("1 1 0", "1 1 0"))
    np.testing.assert_array_equal(seen_BHTS[1, 3], drawn("1 1 1", "1 1 1"))


def test_a_causal_mask_shows_a_position_itself_and_all_earlier_ones() -> None:
    mask = np.asarray(masks.causal(5))
    assert mask.shape == (1, 1, 5, 5)
    assert mask.dtype == bool
    picture = drawn("1 0 0 0 0", "1 1 0 0 0", "1 1 1 0 0", "1 1 1 1 0", "1 1 1 1 1")
    np.testing.assert_array_equal(mask[0, 0], picture)


def test_masks_of_targets() -> None:
    target_BT = jnp.array([[BOS, 7, 9], [BOS, 5, PAD]])
    np.testing.assert_array_equal(masks.causal_from_ids(target_BT), masks.causal(3))
    expected = [[[[True, True, True]]], [[[True, True, False]]]]
    np.testing.assert_array_equal(masks.padding_from_ids(target_BT), expected)


def test_beam_history_of_one_hypothesis_is_a_row_of_causal() -> None:
    causal = np.asarray(masks.causal(5))
    mask = np.asarray(masks.beam_history(jnp.zeros((5, 1, 5), jnp.int32), jnp.arange(5)))  # a position for each row
    np.testing.assert_array_equal(mask, causal[0, 0][:, None, None])


def test_beam_history() -> None:
    """Three hypotheses at position 2: the first descends from slots 2 and 1, the others from slots 0 and 1."""
    slot_BNT = jnp.array([[[1, 2, 0, 0], [1, 0, 1, 0], [1, 0, 2, 0]]])
    expected = """
        010 001 100 000
        010 100 010 000
        010 100 001 000
    """
    rows = [[int(digit) for digit in line.replace(" ", "")] for line in expected.split("\n") if line.strip()]
    np.testing.assert_array_equal(masks.beam_history(slot_BNT, jnp.array([2])), np.array(rows, bool)[None, None])
