"""Damage that the benchmark plants, and what the doctor finds of it."""

import random

import pytest

from configs.base import get_config
from experiments.benchmark import doctor
from transformer.data import grammar
from transformer.data.pairs import Pair
from transformer.spec import DataSpec

# The least recall of the damage that is hardest to find; all other damage is found nearly always.
HARD = {"two words glued": 0.1, "half of the spaces": 0.2, "no accented letters": 0.3, "no accents": 0.3,
        "French, then English": 0.4, "half a translation": 0.6, "exchanged sides": 0.6,
        "a target four times": 0.5, "no spaces": 0.6,
        "a copy with another word": 0.7}  # fmt: skip


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    examples = [grammar.generate("train", index) for index in range(2500)]
    return [Pair(example.french, example.english) for example in examples]


def test_the_doctor_finds_planted_damage(pairs: list[Pair]) -> None:
    data = DataSpec.from_config({**get_config().to_dict()["data"], "source": "grammar", "train_pairs": len(pairs)})
    report = doctor.measure(data, pairs, 0.01, seed=1)
    assert report["damage"].keys() == doctor.DAMAGE.keys()
    assert report["undamaged"].keys() <= {"duplicate", "lost-accents"}
    for name, row in report["damage"].items():
        assert row["planted"] == 25
        assert row["recall"] == row["found"] / 25 >= HARD.get(name, 0.85), name
        assert row["precision"] >= 0.8, name


@pytest.mark.parametrize("languages", [("fr", "en"), ("en", "fr")])
def test_each_damage_is_planted_in_its_own_pairs(pairs: list[Pair], languages: tuple[str, str]) -> None:
    corpus = pairs[:600] if languages[0] == "fr" else [Pair(*pair[::-1]) for pair in pairs[:600]]
    damaged, places = doctor.plant(corpus, languages, 0.005, seed=2)
    planted = [place for chosen in places.values() for place in chosen]
    assert len(planted) == len({*planted}) == 3 * len(doctor.DAMAGE)
    assert {index for index in range(600) if damaged[index] != corpus[index]} == {*planted}
    capitals = next(iter(places["all capitals"]))
    assert any(side.isupper() for side in damaged[capitals])
    french = languages.index("fr")
    assert all("\u00c3" in damaged[index][french] for index in places["mojibake"])


def test_a_pair_that_cannot_be_damaged_is_left_out() -> None:
    rng = random.Random(0)
    assert doctor.DAMAGE["half a translation"][1](rng, "Oui.", "Yes.") is None
    assert doctor.DAMAGE["no accents"][1](rng, "Oui.", "Yes.") == ("Oui.", "Yes.")
