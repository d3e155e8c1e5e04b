"""Sections read themselves from a mapping, and checks name the key and the value."""

import dataclasses

import pytest

from transformer.section import Section, did_you_mean, nearest, require, require_one_of, require_positive, require_rate


@dataclasses.dataclass(frozen=True)
class Sizes(Section):
    width: int
    rate: float | None


def test_keys_are_exactly_the_fields() -> None:
    assert Sizes.from_config({"width": 3, "rate": None}) == Sizes(3, None)
    with pytest.raises(ValueError, match=r"^unknown key: sizes\.eta, sizes\.zeta$"):
        Sizes.from_config({"width": 3, "rate": 0.5, "zeta": 1, "eta": 1}, "sizes")
    with pytest.raises(ValueError, match=r"^missing key: rate, width$"):
        Sizes.from_config({})


def test_checks_name_the_key_and_the_value() -> None:
    require(True, "holds")
    require_one_of("sizes.kind", None, ("one", None))
    require_positive("sizes", Sizes(3, None), "width", "rate")
    require_rate("sizes", Sizes(3, 0.0), "rate")
    with pytest.raises(ValueError, match=r"^does not hold$"):
        require(False, "does not hold")
    with pytest.raises(ValueError, match=r"^sizes\.kind: 'two' is none of one, None$"):
        require_one_of("sizes.kind", "two", ("one", None))
    with pytest.raises(ValueError, match=r"^sizes\.width: 0 is not positive$"):
        require_positive("sizes", Sizes(0, None), "rate", "width")
    with pytest.raises(ValueError, match=r"^sizes\.rate: 1\.0 is not in \[0, 1\)$"):
        require_rate("sizes", Sizes(3, 1.0), "rate")


def test_messages_suggest_the_nearest_name() -> None:
    assert did_you_mean("Haeds", ["d_k", "heads"], "model.") == "; did you mean model.heads?"
    assert did_you_mean("zzz", ["d_k", "heads"]) == did_you_mean(None, []) == ""
    assert nearest("Haeds", ["d_k", "heads"], count=2, cutoff=0.0) == ["heads", "d_k"]
    with pytest.raises(ValueError, match=r"^sizes\.kind: 'onne' is none of one, None; did you mean one\?$"):
        require_one_of("sizes.kind", "onne", ("one", None))
    with pytest.raises(ValueError, match=r"^unknown key: sizes\.widht; did you mean sizes\.width\?$"):
        Sizes.from_config({"widht": 3, "rate": 0.5}, "sizes")


def test_only_optional_settings_are_none() -> None:
    with pytest.raises(ValueError, match=r"^sizes\.width: None, but the setting needs a value$"):
        Sizes.from_config({"width": None, "rate": None}, "sizes")
