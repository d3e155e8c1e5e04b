r"""Measures the corpus doctor: plants damage of each kind in a clean corpus, and counts what the doctor finds.

    python -m experiments.benchmark.doctor
    python -m experiments.benchmark.doctor --config=configs/multi30k.py --config.data.raw_directory=FOLDER

Without --config the corpus is the generated one. Each damage is planted in its own pairs, all in one copy of the
training split. Recall is the share of these pairs that have a finding of the expected kind. Precision is the share of
damaged pairs among the findings of a kind, without those that the undamaged corpus has too. Prints a Markdown table,
and JSON on the last line: findings of the undamaged corpus and pairs per second, too.
"""

import collections
import dataclasses
import html
import json
import random
import re
import time
import unicodedata
from collections.abc import Callable, Sequence

from absl import flags

from configs import base
from experiments.runtime import cli, config_files
from experiments.web import markdown
from transformer.data.corpus import open_corpus
from transformer.data.doctor import CorpusExaminer
from transformer.data.pairs import Pair
from transformer.spec import LANGUAGES, DataSpec, Spec

# Damage of a pair (first, second), whose languages are in this order; None if the pair cannot be damaged so.
Damage = Callable[[random.Random, str, str], tuple[str, str] | None]


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config file of the corpus; default: the generated corpus")
    flags.DEFINE_integer("pairs", 20_000, "pairs of the corpus, at most", lower_bound=100)
    flags.DEFINE_float(
        "share", 0.005, "share of the pairs with each kind of damage", lower_bound=1e-6, upper_bound=0.02
    )
    flags.DEFINE_integer("seed", 0, "seed of the damage")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    with cli.user_errors():
        config = (
            args.config.to_dict()["data"]
            if args.config
            else base.get_config().to_dict()["data"] | {"source": "grammar", "train_pairs": args.pairs}
        )
        data = DataSpec.from_config(config) if not args.config else Spec.from_config(args.config).data
        if set(data.languages) != set(LANGUAGES):
            raise ValueError(f"data.direction: {data.direction}, but the damage is of French and English text")
        pairs = list(open_corpus(data).split(data.train_split)[: args.pairs])
        report = measure(data, pairs, args.share, args.seed)
    rows = [
        (name, row["kind"], f"{row['found']} of {row['planted']}", f"{row['recall']:.0%}", _percent(row["precision"]))
        for name, row in report["damage"].items()
    ]
    print(markdown.table(("damage", "kind of finding", "found", "recall", "precision of the kind"), rows))
    print(json.dumps(report))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def measure(data: DataSpec, pairs: Sequence[Pair], share: float, seed: int) -> dict:
    """Returns recall and precision by damage, and the speed.

    Args:
      data: the corpus; its direction gives the languages of the pairs.
      pairs: the clean pairs.
      share: share of the pairs that each kind damages.
      seed: seed of the damage.
    """
    before, seconds = _found(data, pairs)
    damaged, places = plant(pairs, (data.source_language, data.target_language), share, seed)
    after, _ = _found(data, damaged)
    planted = {place for chosen in places.values() for place in chosen}
    results = {}
    for name, (kind, _) in DAMAGE.items():
        found = after[kind] - (before[kind] - planted)
        hits = len(found & places[name])
        results[name] = {
            "kind": kind,
            "planted": len(places[name]),
            "found": hits,
            "recall": hits / max(1, len(places[name])),
            "precision": len(found & planted) / len(found) if found else None,
        }
    false = {kind: len(found) for kind, found in sorted(before.items()) if found}
    return {"pairs": len(pairs), "pairs_per_second": round(len(pairs) / seconds), "undamaged": false, "damage": results}


def _found(data: DataSpec, pairs: Sequence[Pair]) -> tuple[dict[str, set[int]], float]:
    """Returns the indices of the pairs with each kind of finding, and the seconds that this took."""
    start = time.process_time()
    # As a corpus without files: the lines of findings are indices.
    examiner = CorpusExaminer(dataclasses.replace(data, source="grammar", train_pairs=len(pairs)), limit=len(pairs))
    examiner.examine_pairs(data.train_split, pairs)
    found: dict[str, set[int]] = collections.defaultdict(set)
    for finding in examiner.findings():
        found[finding.kind].update(finding.lines)
    return found, time.process_time() - start


def plant(
    pairs: Sequence[Pair], languages: tuple[str, str], share: float, seed: int
) -> tuple[list[Pair], dict[str, set[int]]]:
    """Returns the pairs with damage of every kind, and the indices of the pairs with each kind."""
    rng = random.Random(seed)
    damaged, size = list(pairs), max(1, round(share * len(pairs)))
    free = rng.sample(range(len(pairs)), len(pairs))
    places: dict[str, set[int]] = {}
    for name, (_, damage) in DAMAGE.items():
        places[name], refused = set(), []
        while free and len(places[name]) < size:
            index = free.pop()
            # French first, whatever the direction is.
            french, english = damaged[index] if languages[0] == "fr" else damaged[index][::-1]
            result = damage(rng, french, english)
            if result is None or result == (french, english):
                refused.append(index)
                continue
            damaged[index] = Pair(*result) if languages[0] == "fr" else Pair(*result[::-1])
            places[name].add(index)
        free = [*reversed(refused), *free] if len(places[name]) < size else [*free, *reversed(refused)]
    return damaged, places


def _either(change: Callable[[random.Random, str], str | None]) -> Damage:
    """Returns a damage of one side, which is random."""

    def damage(rng: random.Random, french: str, english: str) -> tuple[str, str] | None:
        side = rng.randrange(2)
        changed = change(rng, (french, english)[side])
        if changed is None:
            return None
        return (changed, english) if side == 0 else (french, changed)

    return damage


def _french(change: Callable[[random.Random, str], str | None]) -> Damage:
    def damage(rng: random.Random, french: str, english: str) -> tuple[str, str] | None:
        changed = change(rng, french)
        return None if changed is None else (changed, english)

    return damage


def _wrong_digit(rng: random.Random, french: str, english: str) -> tuple[str, str]:
    number = str(rng.randrange(20, 3000))
    if not (re.search(r"\d", french) and re.search(r"\d", english)):
        french, english = (f"{text.rstrip('.')}, {number}." for text in (french, english))
    digit = rng.choice(list(re.finditer(r"\d", english)))
    other = rng.choice([d for d in "123456789" if d != digit[0]])
    return french, f"{english[: digit.start()]}{other}{english[digit.end() :]}"


def _near_copy(rng: random.Random, french: str, english: str) -> tuple[str, str] | None:
    words = french.split()
    if len(words) < 5:
        return None
    words[rng.randrange(len(words))] = rng.choice(english.split())
    return french, " ".join(words)


def _half(rng: random.Random, text: str) -> str | None:
    words = text.split()
    return " ".join(words[: len(words) // 2]) if len(text) >= 60 else None


def _half_english(rng: random.Random, french: str, english: str) -> tuple[str, str] | None:
    first, second = french.split(), english.split()
    if min(len(first), len(second)) < 8:
        return None
    return " ".join([*first[: len(first) // 2], *second[len(second) // 2 :]]), english


def _joined(rng: random.Random, text: str, share: float) -> str | None:
    words = text.split(" ")
    if len(words) < 6:
        return None
    breaks = rng.sample(range(1, len(words) - 1), max(1, int(share * (len(words) - 2))))
    return "".join(
        word + ("" if index in breaks or index == len(words) - 1 else " ") for index, word in enumerate(words)
    )


def _accents(replacement: str | None) -> Callable[[random.Random, str], str | None]:
    def change(rng: random.Random, text: str) -> str:
        def lose(match: re.Match[str]) -> str:
            return unicodedata.normalize("NFD", match[0])[0] if replacement is None else replacement

        return re.sub("[À-ÖØ-öø-ÿ]", lose, text)

    return change


def _spaced(rng: random.Random, text: str) -> str | None:
    words = list(re.finditer(r"[^\W\d_]{5,}", text))
    if not words:
        return None
    word = rng.choice(words)
    return f"{text[: word.start()]}{' '.join(word[0])}{text[word.end() :]}"


def _end(rng: random.Random, text: str) -> str | None:
    if not text.endswith((".", "?", "!")) or len(text.split()) < 5:
        return None
    return text[:-1] + rng.choice([mark for mark in ("", "?", "!") if mark != text[-1]])


def _inserted(first: str, second: str) -> Damage:
    """Returns a damage that inserts a text into the French side, and another one into the English side."""

    def damage(rng: random.Random, french: str, english: str) -> tuple[str, str] | None:
        if min(french.count(" "), english.count(" ")) < 2:
            return None
        return french.replace(" ", f" {first} ", 1), english.replace(" ", f" {second} ", 1)

    return damage


def _replaced(old: str, new: Callable[[re.Match[str]], str]) -> Callable[[random.Random, str], str | None]:
    def change(rng: random.Random, text: str) -> str | None:
        return re.sub(old, new, text, count=1) if re.search(old, text) else None

    return change


_FOREIGN = (
    "Der alte Mann steht heute vor dem neuen Haus und wartet auf seine Frau.",
    "Los niños juegan hoy en el jardín con la pelota nueva de su hermana.",
    "I bambini giocano oggi in giardino con la palla nuova della sorella.",
)
_WORD = r"(?<![\w<])[^\W\d_]{4,}(?!\w)"
DAMAGE: dict[str, tuple[str, Damage]] = {
    "a wrong digit": ("numbers", _wrong_digit),
    "a copy": ("copy", lambda rng, french, english: (french, french) if french.count(" ") > 3 else None),
    "a copy with another word": ("near-copy", _near_copy),
    "half a translation": ("half-translation", _either(_half)),
    "French, then English": ("mixed-languages", _half_english),
    "German, Spanish or Italian": ("wrong-language", lambda rng, french, english: (french, rng.choice(_FOREIGN))),
    "exchanged sides": ("swapped-pair", lambda rng, french, english: (english, french)),
    "two words glued": ("glued-words", _either(lambda rng, text: _joined(rng, text, 0))),
    "half of the spaces": ("glued-words", _either(lambda rng, text: _joined(rng, text, 0.5))),
    "no spaces": ("glued-words", _either(lambda rng, text: _joined(rng, text, 1))),
    "accents as question marks": ("lost-accents", _french(_accents("?"))),
    "no accented letters": ("lost-accents", _french(_accents(""))),
    "no accents": ("lost-accents", _french(_accents(None))),
    "mojibake": ("mojibake", _french(lambda rng, text: text.encode().decode("cp1252", "ignore"))),
    "all capitals": ("capitals", _either(lambda rng, text: text.upper() if len(text) > 20 else None)),
    "spaced-out letters": ("spaced-out", _either(_spaced)),
    "another end": ("end-punctuation", _either(_end)),
    "a missing bracket": ("brackets", _inserted("(voir", "(see)")),
    "another placeholder": ("placeholders", _inserted("%(name)s", "%(nom)s")),
    "a missing placeholder": ("placeholders", _inserted("{0}", "")),
    "tags": ("markup", _either(_replaced(_WORD, lambda match: f"<b>{match[0]}</b>"))),
    "entities": ("html-entity", _either(lambda rng, text: html.escape(text) if html.escape(text) != text else None)),
    "Cyrillic letters": ("mixed-scripts", _either(_replaced("(?<=[b-z])a(?=[b-z])", lambda match: "\u0430"))),
    "subwords": ("segmented", _either(_replaced(_WORD, lambda match: f"{match[0][:2]}@@ {match[0][2:]}"))),
    "a target four times": ("length-ratio", lambda rng, french, english: (french, " ".join([english] * 4))),
}  # fmt: skip


if __name__ == "__main__":
    cli.run(define, main)
