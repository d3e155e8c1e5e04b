"""Mixtures of corpora as text."""

import pytest

from transformer.mixture import Part, parse_mixture


def test_parts_have_a_corpus_a_weight_and_a_tag():
    text = "multi30k x2, back/{split}.{language} <BT> x.5 ,wmt14_translate/de-en, grammar >>de<<"
    assert parse_mixture(text) == (
        Part("multi30k", 2.0, ""),
        Part("back/{split}.{language}", 0.5, "<BT>"),
        Part("wmt14_translate/de-en", 1.0, ""),
        Part("grammar", 1.0, ">>de<<"),
    )
    assert parse_mixture("") == parse_mixture("  ") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("multi30k,", "'' is not CORPUS"),
        ("x2", "'x2' is not CORPUS"),
        ("<BT> multi30k", "'<BT> multi30k' is not CORPUS"),
        ("multi30k 2", "'multi30k 2' is not CORPUS"),
        ("multi30k x-1", "is not CORPUS"),
        ("multi30k xtwo", "is not CORPUS"),
        ("multi30k x2 x3", "is not CORPUS"),
        ("multi30k <A> <B>", "is not CORPUS"),
        ("multi30k BT", "is not CORPUS"),
        ("multi30k x0", "'multi30k x0' has the weight 0"),
        ("multi30k <s>", "has a tag that vocabularies reserve"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^data.mixture: .*{message}") as error:
        parse_mixture(text)
    assert "\n" not in str(error.value)
