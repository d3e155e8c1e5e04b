"""The translator page in other languages, and in scripts from right to left."""

import pytest

pytest.importorskip("fastapi")

from experiments.runs.workdir import fill_defaults
from experiments.serving.examples import Examples
from experiments.serving.pages import translator
from transformer.data.pairs import Pair
from transformer.spec import Spec


def test_the_page_names_both_languages_and_sets_the_direction_of_their_text():
    decode = Spec.from_config(fill_defaults({})).decode
    page = translator("en-ar", "run", decode, Examples("test", [Pair("A dog sleeps.", "كلب ينام.")]))
    assert "<title>English to Arabic</title>" in page
    for part in (
        'id="text" rows="3" lang="en" dir="auto"',
        'id="out" lang="ar" dir="auto"',
        'lang="en" dir="auto">A dog',
    ):
        assert part in page
