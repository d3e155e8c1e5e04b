"""Which head matters, and for what: each taken out alone, all of them one after the other, and what they look at."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.studies import figures
from experiments.studies.inspected_run import Subject
from experiments.studies.phenomena import Contrast, Questions
from experiments.studies.study import Picture, Study, head_name
from experiments.web.markdown import table
from transformer.analysis import head_masking
from transformer.analysis.head_roles import LEAST, Roles
from transformer.analysis.subwords import of_words
from transformer.data.batches.forced import ForcedBatch
from transformer.data.corpus import Pair
from transformer.evaluation import bleu
from transformer.spec import BOS, EOS, PAD

_FEW = 32  # heads of which each is tried at each step of pruning; with more, only some are:
_SHORTLIST = 8
_PRONOUNS = 600  # pairs of the split in which sentences with pronouns are looked for
_POINTS = 6  # of the pruning curve, at which sentences are translated
_TRANSLATED = 100  # sentences at most


def study(subject: Subject, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Measures every head of a run on pairs of a split; draws to a folder.

    Attention over a recurrent network has one head; a model without attention has none, of which that is said.
    """
    batches = subject.batches(pairs)
    if not subject.scales:
        return Study("heads", f"### Heads on {split}\n\nThis model has no attention, and so no heads.\n", {"heads": {}})
    roles = _roles(subject, split, pairs, batches)
    measured = _Measured(subject, pairs, batches)
    questions = Questions.of_coreference(subject, split, _PRONOUNS) if _generated(subject) else None
    rows, numbers = [], {}
    importance = measured.importance(subject.scales)
    classes = roles.classes()
    for name, head in head_masking.every(subject.scales):
        gone = head_masking.without(subject.scales, (name, head))
        role, lift = classes[name][head]
        one: dict[str, Any] = {
            "loss_difference": measured.loss(gone) - measured.base_loss,
            "bleu_difference": measured.bleu(gone) - measured.base_bleu,
            "gradient": float(importance[name][head]),
            "role": role,
            "lift": lift,
        }
        if questions and questions.contrasts:
            one["coreference_accuracy"] = questions.accuracy(gone)
        numbers[head_name(name, head)] = one
        rows.append([head_name(name, head), *_cells(one)])
    curve, points = measured.pruned()
    pictures = list(_draw(subject, numbers, curve, points, folder))
    text = "\n".join(
        [
            f"### Heads on {split}, each taken out alone\n",
            _about(measured, questions),
            table(["head", *_heads(questions)], rows),
            "### Heads taken out one after the other\n",
            _pruning_text(curve, points),
            _roles_text(roles),
        ]
    )
    found = {
        "split": split,
        "sentences": len(pairs),
        "loss": measured.base_loss,
        "bleu": measured.base_bleu,
        "heads": numbers,
        "pruning": [
            {"head": head_name(*each.head) if each.head else None, "loss": each.loss, "bleu": points.get(place)}
            for place, each in enumerate(curve)
        ],
        "roles": _roles_numbers(roles),
    }
    return Study("heads", text, found, pictures)


def contrast(subject: Subject, contrasts: Sequence[Contrast], what: str) -> Study:
    """Which heads a run needs to prefer right translations to wrong ones: margins by kind, with each head taken out."""
    questions = Questions(subject, contrasts)
    kinds = sorted({each.kind for each in contrasts})
    of_kind = np.array([[each.kind == kind for each in contrasts] for kind in kinds])

    def by_kind(scales: head_masking.Scales | None = None) -> dict[str, float]:
        margins = questions.margins(scales)
        return {kind: float(margins[chosen].mean()) for kind, chosen in zip(kinds, of_kind, strict=True)}

    base = by_kind()
    found = {
        head_name(*head): by_kind(head_masking.without(subject.scales, head))
        for head in head_masking.every(subject.scales)
    }
    rows = [["none", *(f"{base[kind]:.2f}" for kind in kinds)]]
    rows += [[name, *(f"{each[kind]:.2f}" for kind in kinds)] for name, each in found.items()]
    text = (
        f"### Right against wrong translations with a head taken out: {what}\n\n"
        "The mean of log P(right) - log P(wrong) in nats; below zero the wrong ones are the more probable.\n\n"
        + table(["head gone", *kinds], rows)
    )
    return Study("contrast_by_head", text, {"margin": base, "without": found})


class _Measured:
    """Loss and BLEU with some heads gone."""

    def __init__(self, subject: Subject, pairs: Sequence[Pair], batches: Sequence[ForcedBatch]) -> None:
        self._subject, self._batches = subject, batches
        self._pairs = pairs[:_TRANSLATED]
        self._tokens = sum(int((batch.target_BT != PAD).sum()) for batch in batches)
        self.base_loss, self.base_bleu = self.loss(subject.scales), self.bleu(subject.scales)

    @property
    def translated(self) -> int:
        return len(self._pairs)

    def loss(self, scales: head_masking.Scales) -> float:
        """Nats a token."""
        return float(self._subject.nll(self._batches, scales).sum()) / self._tokens

    def bleu(self, scales: head_masking.Scales) -> float:
        """Of greedy translations."""
        greedy = dataclasses.replace(self._subject.spec.decode, method="greedy")
        found = self._subject.translator(greedy, scales).translate([pair.source for pair in self._pairs])
        return bleu.bleu([each[0].text for each in found], [pair.target for pair in self._pairs])

    def importance(self, scales: head_masking.Scales) -> head_masking.Scales:
        """The mean of |d loss / d scale| over sentences, [H] by name; Michel et al. 2019."""
        return {name: np.abs(each).mean(axis=0) for name, each in self._subject.slopes(self._batches, scales).items()}

    def pruned(self) -> tuple[Sequence[head_masking.Pruned], dict[int, float]]:
        """The curve, and BLEU at some of its points."""
        count = len(head_masking.every(self._subject.scales))
        shortlist = count if count <= _FEW else _SHORTLIST
        curve = head_masking.prune(self.loss, self.importance, self._subject.scales, shortlist)
        places = np.unique(np.linspace(0, len(curve) - 1, _POINTS).round().astype(int)).tolist()
        return curve, {place: self.bleu(curve[place].scales) for place in places}


def _generated(subject: Subject) -> bool:
    return subject.spec.data.source == "grammar"


def _roles(subject: Subject, split: str, pairs: Sequence[Pair], batches: Sequence[ForcedBatch]) -> Roles:
    """What every head looks at; of the generated corpus also whether it looks from a pronoun at its noun."""
    counts = collections.Counter(int(token) for batch in batches for side in batch[1:] for token in side.ravel())
    pieces = subject.tokenizer.pieces(range(subject.tokenizer.vocab_size))
    marks = [token for token, piece in enumerate(pieces) if not any(character.isalnum() for character in piece)]
    roles = Roles(counts, [BOS, EOS, *marks])
    for index, one, attention in subject.attention(batches):
        link = _coreference(subject, split, index, one) if _generated(subject) else None
        for name, weights in attention.items():
            columns = one.input_BT if name.startswith("decoder") else one.source_BS
            roles.add(name, weights, columns.tolist())
            if link is not None:
                places = _places(name, link, (weights.shape[1], weights.shape[2]))
                visible = np.tri(*places.shape) if name.startswith("decoder") else None
                roles.mark(name, "coreference", weights, places, visible)
    return roles


def _coreference(subject: Subject, split: str, index: int, one: ForcedBatch) -> dict[str, np.ndarray] | None:
    """Pieces of a pronoun and of its noun on each side: bool by "source pronoun", "target noun", ..."""
    from transformer.data.grammar.probes import link

    found = link(split, index)
    if found is None:
        return None
    example, places = found
    french = {"words": example.french_words, "pronoun": places.pronoun[0], "noun": places.noun[0]}
    english = {"words": example.english_words, "pronoun": places.pronoun[1], "noun": places.noun[1]}
    from_french = subject.spec.data.source_language == "fr"
    sides = {"source": french if from_french else english, "target": english if from_french else french}
    marked = {}
    for side, ids in (("source", one.source_BS[:-1]), ("target", one.target_BT[:-1])):
        try:
            tokenizer = subject.tokenizer
            shares = of_words(tokenizer.pieces(ids.tolist()), tokenizer.spelled(sides[side]["words"]))
        except ValueError:  # a character that the vocabulary does not have
            return None
        for what in ("pronoun", "noun"):
            marked[f"{side} {what}"] = shares[sides[side][what]] > 0
    return marked


def _places(name: str, link: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """From the pronoun's pieces to the noun's: 1 there; [rows, columns]."""
    kind = name.partition("/")[0]
    places = np.zeros(shape)
    row_side, column_side = {"encoder": ("source", "source"), "decoder": ("target", "target")}.get(
        kind, ("target", "source")
    )
    rows, columns = np.flatnonzero(link[f"{row_side} pronoun"]), np.flatnonzero(link[f"{column_side} noun"])
    columns = columns + (kind == "decoder")  # BOS stands first
    places[np.ix_(rows, columns)] = 1
    return places * np.tri(*places.shape) if kind == "decoder" else places


def _heads(questions: Questions | None) -> list[str]:
    more = ["coreference right, %"] if questions and questions.contrasts else []
    return ["loss", "BLEU", "gradient", *more, "looks at", "lift"]


def _cells(one: dict[str, Any]) -> list[str]:
    more = [f"{100 * one['coreference_accuracy']:.1f}"] if "coreference_accuracy" in one else []
    numbers = [f"{one['loss_difference']:+.4f}", f"{one['bleu_difference']:+.2f}", f"{one['gradient']:.3f}", *more]
    return [*numbers, one["role"] or "–", f"{one['lift']:.2f}"]


def _about(measured: _Measured, questions: Questions | None) -> str:
    text = (
        f"With all heads: loss {measured.base_loss:.4f} nats a token, BLEU {measured.base_bleu:.2f} of "
        f"{measured.translated} greedy translations. Of each head: what both gain when it is gone; the mean of "
        "|d loss / d scale| a sentence, in nats (Michel et al. 2019); what it looks at more than an even share would, "
        f"with lift (weight - even) / (1 - even) of at least {LEAST}. Small differences in BLEU are chance."
    )
    if questions and questions.contrasts:
        text += (
            f" Coreference: how often the right pronoun is more probable than wrong ones, of {len(questions.groups)} "
            f"sentences; with all heads {100 * questions.accuracy():.1f} %."
        )
    return text + "\n"


def _pruning_text(curve: Sequence[head_masking.Pruned], points: dict[int, float]) -> str:
    shown = [
        [str(place), head_name(*each.head) if each.head else "–", f"{each.loss:.4f}", _bleu(points, place)]
        for place, each in enumerate(curve)
    ]
    about = (
        f"Each time the one without which the loss is lowest; of more than {_FEW} heads, one of the {_SHORTLIST} whose "
        "gradient is least."
    )
    return f"{about}\n\n{table(['heads gone', 'the last', 'loss', 'BLEU'], shown)}"


def _bleu(points: dict[int, float], place: int) -> str:
    return f"{points[place]:.2f}" if place in points else ""


def _roles_numbers(roles: Roles) -> dict[str, Any]:
    return {
        name: {role: {"weight": weight.tolist(), "even": even} for role, (weight, even) in found.items()}
        for name, found in roles.scores().items()
    }


def _roles_text(roles: Roles) -> str:
    scores = roles.scores()
    names = sorted({role for found in scores.values() for role in found})
    rows = [
        [head_name(name, head), *(_share(found[role], head) if role in found else "" for role in names)]
        for name, found in scores.items()
        for head in range(len(next(iter(found.values()))[0]))
    ]
    about = "Mean weight, and what an even share would be."
    return f"### What heads look at\n\n{about}\n\n{table(['head', *names], rows)}"


def _share(found: tuple[np.ndarray, float], head: int) -> str:
    weight, even = found
    return f"{weight[head]:.2f} ({even:.2f})"


def _draw(
    subject: Subject,
    numbers: dict[str, dict[str, Any]],
    curve: Sequence[head_masking.Pruned],
    points: dict[int, float],
    folder: pathlib.Path,
) -> Sequence[Picture]:
    def grid(key: str) -> dict[str, np.ndarray]:
        return {
            name: np.array([numbers[head_name(name, head)][key] for head in range(len(each))])
            for name, each in subject.scales.items()
        }

    def draw(key: str, label: str) -> Picture:
        return figures.grid(grid(key), folder / f"heads_{key}", label), label

    return [
        draw("loss_difference", "loss gained when a head is taken out, nats a token"),
        draw("gradient", "mean |d loss / d scale| of a head, nats a sentence"),
        (
            figures.pruning([each.loss for each in curve], points, folder / "heads_pruning"),
            "loss and BLEU as heads are taken out one after the other",
        ),
    ]
