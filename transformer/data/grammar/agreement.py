"""What agrees with a noun phrase: person, gender and number."""

from __future__ import annotations

from typing import NamedTuple

# Persons, as in conjugation.py; "tu" does not occur: "you" is always "vous", said to several people.
ME, HE, WE, YOU, THEY = 0, 2, 3, 4, 5


class Features(NamedTuple):
    """Person 0 to 5, index of gender and number (see french.py), and whether English says he or she, not it."""

    slot: int
    gender_number: int
    human: bool
