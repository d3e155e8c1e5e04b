"""Functions that combine sweeps."""

import pytest

from configs import base, variants


def test_a_product_has_every_combination_in_order() -> None:
    rates = variants.axis("train.learning_rate", (1e-3, 2e-3), "rate")
    assert variants.product(rates, {"one": {"model.heads": 1}, "base": {}}) == {
        "rate=0.001 one": {"train.learning_rate": 1e-3, "model.heads": 1},
        "rate=0.001 base": {"train.learning_rate": 1e-3},
        "rate=0.002 one": {"train.learning_rate": 2e-3, "model.heads": 1},
        "rate=0.002 base": {"train.learning_rate": 2e-3},
    }


def test_zip_combines_first_with_first_and_second_with_second() -> None:
    heads, widths = variants.axis("model.heads", (1, 2)), variants.axis("model.d_k", (64, 32))
    assert variants.zip_(heads, widths) == {
        "heads=1 d_k=64": {"model.heads": 1, "model.d_k": 64},
        "heads=2 d_k=32": {"model.heads": 2, "model.d_k": 32},
    }
    with pytest.raises(ValueError, match="sweeps of 2, 3 variants"):
        variants.zip_(heads, variants.axis("model.d_k", (1, 2, 3)))


def test_a_chain_accepts_equal_variants_and_rejects_equal_names() -> None:
    first, second = {"base": {}, "a": {"model.heads": 1}}, {"base": {}, "b": {"model.heads": 2}}
    assert list(variants.chain(first, second)) == ["base", "a", "b"]
    with pytest.raises(ValueError, match="two variants are called 'a'"):
        variants.chain(first, {"a": {"model.heads": 3}})


@pytest.mark.parametrize("combine", [variants.product, variants.zip_])
def test_two_sweeps_cannot_change_the_same_key(combine) -> None:
    heads = variants.axis("model.heads", (1, 2))
    with pytest.raises(ValueError, match=r"two sweeps change model\.heads"):
        combine(heads, heads)


def test_difference_turns_one_config_into_the_other() -> None:
    one, other = base.get_config(), base.get_config()
    other.update_from_flattened_dict({"model.heads": 4, "train.learning_rate": 1e-3})
    changes = variants.difference(one, other)
    assert changes == {"model.heads": 4, "train.learning_rate": 1e-3}
    one.update_from_flattened_dict(changes)
    assert one.to_dict() == other.to_dict()
