"""Heads whose business is known are classed by it."""

import numpy as np
import pytest

from transformer.analysis.head_roles import Roles

EVEN = np.full((4, 4), 0.25)
COUNTS, SEPARATORS = {5: 9, 6: 8, 7: 1, 2: 99}, {2}
TOKENS = [5, 7, 6, 2]  # the rarest is 7; 2 divides


def previous() -> np.ndarray:
    """The first row has nothing before it and looks everywhere."""
    weights = np.eye(4, 4, -1)
    weights[0] = 0.25
    return weights


def test_heads_of_an_encoder() -> None:
    roles = Roles(COUNTS, SEPARATORS)
    rare, separator = (np.tile(np.eye(4)[column], (4, 1)) for column in (1, 3))
    blurred = 0.1 * np.ones((4, 4)) + 0.6 * np.eye(4)
    roles.add("encoder/0", np.stack([previous(), rare, separator, EVEN, blurred]), TOKENS)
    classes = roles.classes()["encoder/0"]
    assert [role for role, _ in classes] == ["previous", "rare", "separator", "", "same"]
    assert [lift for _, lift in classes] == pytest.approx([1, 1, 1, 0, (0.7 - 0.25) / 0.75])
    weight, even = roles.scores()["encoder/0"]["next"]
    assert even == 0.25
    assert weight[4] == pytest.approx(0.1)


def test_heads_of_a_decoder_share_what_they_can_see() -> None:
    """An even share is 1, 1/2, 1/3: a head that can look at one token alone has done nothing by looking at it."""
    roles = Roles(COUNTS, SEPARATORS)
    even = np.tri(3) / np.arange(1, 4)[:, None]
    roles.add("decoder/0", np.stack([np.eye(3), even]), [1, 5, 6])
    assert roles.scores()["decoder/0"]["last-read"][1] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    (role, lift), (none, nothing) = roles.classes()["decoder/0"]
    assert (role, lift) == ("last-read", pytest.approx(1))
    assert (none, nothing) == ("", pytest.approx(0))


def test_marked_places_count_in_their_rows_alone() -> None:
    roles = Roles({}, ())
    places = np.zeros((4, 4))
    places[2, 1] = 1
    for share in (0.25, 0.75):
        weights = EVEN.copy()
        weights[2] = [0, share, 1 - share, 0]
        roles.mark("encoder/1", "coreference", weights[None], places)
    roles.mark("encoder/1", "coreference", EVEN[None], np.zeros((4, 4)))
    weight, even = roles.scores()["encoder/1"]["coreference"]
    assert weight[0] == pytest.approx(0.5)
    assert even == pytest.approx(0.25)
