"""Heads of known roles are classified as such."""

import numpy as np
import pytest

from transformer.analysis.head_roles import RoleStatistics

UNIFORM = np.full((4, 4), 0.25)
COUNTS, SEPARATORS = {5: 9, 6: 8, 7: 1, 2: 99}, {2}
TOKENS = [5, 7, 6, 2]  # 7 is the rarest; 2 is a separator


def previous() -> np.ndarray:
    """Weights on the previous token; the first row, which has none, is uniform."""
    weights = np.eye(4, 4, -1)
    weights[0] = 0.25
    return weights


def test_heads_of_an_encoder() -> None:
    roles = RoleStatistics(COUNTS, SEPARATORS)
    rare, separator = (np.tile(np.eye(4)[column], (4, 1)) for column in (1, 3))
    blurred = 0.1 * np.ones((4, 4)) + 0.6 * np.eye(4)
    roles.add("encoder/0", np.stack([previous(), rare, separator, UNIFORM, blurred]), TOKENS)
    classes = roles.classify()["encoder/0"]
    assert [role for role, _ in classes] == ["previous", "rare", "separator", "", "same"]
    assert [lift for _, lift in classes] == pytest.approx([1, 1, 1, 0, (0.7 - 0.25) / 0.75])
    weight, uniform = roles.mean_weights()["encoder/0"]["next"]
    assert uniform == 0.25
    assert weight[4] == pytest.approx(0.1)


def test_uniform_attention_of_a_decoder_covers_only_visible_tokens() -> None:
    """Uniform weights are 1, 1/2, 1/3: attending to the only visible token has no lift."""
    roles = RoleStatistics(COUNTS, SEPARATORS)
    uniform = np.tri(3) / np.arange(1, 4)[:, None]
    roles.add("decoder/0", np.stack([np.eye(3), uniform]), [1, 5, 6])
    assert roles.mean_weights()["decoder/0"]["last-read"][1] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    (role, lift), (none, nothing) = roles.classify()["decoder/0"]
    assert (role, lift) == ("last-read", pytest.approx(1))
    assert (none, nothing) == ("", pytest.approx(0))


def test_marked_positions_count_only_in_their_rows() -> None:
    roles = RoleStatistics({}, ())
    marked = np.zeros((4, 4))
    marked[2, 1] = 1
    for share in (0.25, 0.75):
        weights = UNIFORM.copy()
        weights[2] = [0, share, 1 - share, 0]
        roles.add_positions("encoder/1", "coreference", weights[None], marked)
    roles.add_positions("encoder/1", "coreference", UNIFORM[None], np.zeros((4, 4)))
    weight, uniform = roles.mean_weights()["encoder/1"]["coreference"]
    assert weight[0] == pytest.approx(0.5)
    assert uniform == pytest.approx(0.25)
