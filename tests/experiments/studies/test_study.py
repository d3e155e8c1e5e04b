"""Names and shares in the text of studies."""

from experiments.studies.study import attention_name, format_share, head_name


def test_shares_have_the_wilson_interval() -> None:
    """8 of 10: centre (0.8 + 0.192) / 1.384 = 0.717, half width 1.416 · √0.0256 = 0.227."""
    assert format_share(8, 10) == "80.0 (49.0–94.3)"
    assert format_share(0, 0) == "–"


def test_names_count_from_one() -> None:
    assert attention_name("cross/0") == "cross 1"
    assert attention_name("encoder/1/2") == head_name("encoder/1", 2) == "encoder 2.3"
