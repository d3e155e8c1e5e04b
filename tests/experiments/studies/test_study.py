"""Names and shares in the text of studies."""

from experiments.studies.study import attention_name, format_clustered_share, format_share, head_name


def test_shares_have_the_wilson_interval() -> None:
    """8 of 10: centre (0.8 + 0.192) / 1.384 = 0.717, half width 1.416 · √0.0256 = 0.227."""
    assert format_share(8, 10) == "80.0 (49.0–94.3)"
    assert format_share(0, 0) == "–"


def test_pairs_of_one_sentence_are_not_independent() -> None:
    """Ten sentences of five equal pairs count like ten pairs; pairs that vary within a sentence count fully."""
    equal = [(5, 5)] * 8 + [(0, 5)] * 2
    independent = float(format_share(40, 50).partition("(")[2].partition("–")[0])
    clustered = float(format_clustered_share(equal).partition("(")[2].partition("–")[0])
    assert format_clustered_share(equal).startswith("80.0")
    assert clustered < independent - 10
    assert format_clustered_share([(4, 5)] * 10) == format_share(40, 50)
    assert format_clustered_share([(3, 3)] * 10) == format_share(10, 10)
    assert format_clustered_share([]) == "–"


def test_names_count_from_one() -> None:
    assert attention_name("cross/0") == "cross 1"
    assert attention_name("encoder/1/2") == head_name("encoder/1", 2) == "encoder 2.3"
