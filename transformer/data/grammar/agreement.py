"""Agreement features of a noun phrase: person, gender and number."""

from __future__ import annotations

from typing import NamedTuple

# Persons, as in conjugation.py; "tu" does not occur, because "you" is always "vous" for several people.
ME, HE, WE, YOU, THEY = 0, 2, 3, 4, 5


class Agreement(NamedTuple):
    """Person (0 to 5), index of gender and number (see french.py), and whether English uses he or she instead of it."""

    person: int
    gender_number: int
    human: bool
