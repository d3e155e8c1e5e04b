import jax.numpy as jnp
import numpy as np

from transformer.ops import masks
from transformer.spec import BOS, EOS, PAD, UNK


def drawn(*rows: str) -> np.ndarray:
    """A mask from a picture of it: "1 1 0" is a row that sees the first two columns."""
    return np.array([[int(each) for each in row.split()] for row in rows], bool)


def test_only_padding_is_no_token() -> None:
    ids_BS = jnp.array([[UNK, BOS, 7, EOS, PAD], [5, EOS, PAD, PAD, PAD], [PAD] * 5])
    np.testing.assert_array_equal(masks.is_token(ids_BS), drawn("1 1 1 1 0", "1 1 0 0 0", "0 0 0 0 0"))


def test_padding_hides_the_same_keys_from_every_query_and_head() -> None:
    mask_BS = drawn("1 1 0", "1 1 1")
    mask = np.asarray(masks.padding(jnp.asarray(mask_BS)))
    assert mask.shape == (2, 1, 1, 3)
    seen_BHTS = np.broadcast_to(mask, (2, 5, 2, 3))
    np.testing.assert_array_equal(seen_BHTS[0, 4], drawn("1 1 0", "1 1 0"))
    np.testing.assert_array_equal(seen_BHTS[1, 3], drawn("1 1 1", "1 1 1"))


def test_causal_sees_itself_and_what_came_before() -> None:
    mask = np.asarray(masks.causal(5))
    assert mask.shape == (1, 1, 5, 5)
    assert mask.dtype == bool
    picture = drawn("1 0 0 0 0", "1 1 0 0 0", "1 1 1 0 0", "1 1 1 1 0", "1 1 1 1 1")
    np.testing.assert_array_equal(mask[0, 0], picture)


def test_written_is_a_row_of_causal() -> None:
    causal = np.asarray(masks.causal(5))
    for position in range(5):
        mask = np.asarray(masks.written(jnp.int32(position), 5))
        assert mask.shape == (1, 1, 1, 5)
        np.testing.assert_array_equal(mask[0, 0, 0], causal[0, 0, position])
    np.testing.assert_array_equal(masks.written(jnp.int32(2), 5), drawn("1 1 1 0 0")[None, None])
