"""Lists of variants: what is combined with what."""

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


def test_together_pairs_them_up() -> None:
    heads, widths = variants.axis("model.heads", (1, 2)), variants.axis("model.d_k", (64, 32))
    assert variants.together(heads, widths) == {
        "heads=1 d_k=64": {"model.heads": 1, "model.d_k": 64},
        "heads=2 d_k=32": {"model.heads": 2, "model.d_k": 32},
    }
    with pytest.raises(ValueError, match="sweeps of 2, 3 variants"):
        variants.together(heads, variants.axis("model.d_k", (1, 2, 3)))


def test_a_chain_keeps_what_is_the_same_twice_and_refuses_what_only_has_the_same_name() -> None:
    first, second = {"base": {}, "a": {"model.heads": 1}}, {"base": {}, "b": {"model.heads": 2}}
    assert list(variants.chain(first, second)) == ["base", "a", "b"]
    with pytest.raises(ValueError, match="two variants are called 'a'"):
        variants.chain(first, {"a": {"model.heads": 3}})


@pytest.mark.parametrize("combine", [variants.product, variants.together])
def test_one_key_cannot_be_changed_by_two(combine) -> None:
    heads = variants.axis("model.heads", (1, 2))
    with pytest.raises(ValueError, match=r"two sweeps change model\.heads"):
        combine(heads, heads)


def test_a_difference_makes_the_one_of_the_other() -> None:
    one, other = base.get_config(), base.get_config()
    other.update_from_flattened_dict({"model.heads": 4, "train.learning_rate": 1e-3})
    changes = variants.difference(one, other)
    assert changes == {"model.heads": 4, "train.learning_rate": 1e-3}
    one.update_from_flattened_dict(changes)
    assert one.to_dict() == other.to_dict()
