import pytest

from transformer.data.sources.language_codes import find_language


@pytest.mark.parametrize(
    ("codes", "index"),
    [
        (["en", "fr"], 1),
        (["EN-US", "FR-ca"], 1),
        (["fr_FR.UTF-8", "fr"], 1),
        (["fr-CA", "fr-FR"], 0),
        (["eng", "fra"], 1),
        (["frisian", "french fries", ""], None),
        (["de", "fry"], None),
    ],
)
def test_a_code_is_found_exactly_or_by_its_language(codes, index):
    assert find_language(codes, "fr") == index
