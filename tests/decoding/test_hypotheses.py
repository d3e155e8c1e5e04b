"""Length limits, length penalty and beam reordering, computed by hand."""

import jax.numpy as jnp
import numpy as np

from transformer.decoding.hypotheses import gather_beams, length_penalty, output_limits
from transformer.spec import EOS, PAD


def test_limits_depend_on_the_sentence_and_not_on_the_batch():
    source_BS = [[5, 4, 6, EOS, PAD], [7, EOS, PAD, PAD, PAD], [PAD] * 5, [EOS] + [PAD] * 4, [4, 5, 6, 7, EOS]]
    limit_B, nonempty_B, max_steps = output_limits(jnp.array(source_BS), 3)
    np.testing.assert_array_equal(limit_B, [6, 4, 3, 3, 7])
    np.testing.assert_array_equal(nonempty_B, [True, True, False, True, True])
    assert max_steps == 8  # the longest limit, and EOS


def test_the_limit_leaves_room_for_eos_where_a_source_has_none():
    limit_B, _, max_steps = output_limits(jnp.array([[4, 5, 6]]), 2)
    assert (int(limit_B[0]), max_steps) == (4, 5)


def test_length_penalty_is_that_of_the_paper():
    np.testing.assert_allclose(length_penalty(jnp.array([1, 7, 13]), 0.6), [1.0, 2**0.6, 3**0.6], rtol=1e-6)
    np.testing.assert_array_equal(length_penalty(jnp.array([1, 7]), 0.0), [1.0, 1.0])


def test_beams_are_gathered_within_their_sentence():
    """Leaves may have more beams than are gathered, and any trailing axes."""
    leaf = np.arange(2 * 5 * 3).reshape(2, 5, 3)
    gathered = gather_beams(
        {"wide": jnp.asarray(leaf), "flat": jnp.asarray(leaf[:, :2, 0])}, jnp.array([[1, 1, 0], [0, 1, 0]])
    )
    np.testing.assert_array_equal(gathered["wide"], [leaf[0, [1, 1, 0]], leaf[1, [0, 1, 0]]])
    np.testing.assert_array_equal(gathered["flat"], [leaf[0, [1, 1, 0], 0], leaf[1, [0, 1, 0], 0]])
