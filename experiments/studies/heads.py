"""Importance and roles of attention heads: single-head masking, greedy pruning, and the tokens that heads attend to."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.studies.figures import draw_head_grid, draw_pruning
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.phenomena import ContrastiveExample, ContrastiveTest, generated_examples
from experiments.studies.study import CaptionedFigure, Study, head_name
from experiments.web.markdown import table
from transformer.analysis import head_masking
from transformer.analysis.head_masking import PruningStep
from transformer.analysis.head_roles import MIN_LIFT, RoleStatistics
from transformer.analysis.subwords import word_membership
from transformer.data.batches.forced import ForcedBatch
from transformer.data.corpus import Pair
from transformer.evaluation import bleu
from transformer.spec import BOS, EOS, LANGUAGES, PAD

_ByHead = dict[str, dict[str, Any]]  # measurements of a head by its name

_EXHAUSTIVE = 32  # heads up to which each pruning step evaluates all of them; with more it evaluates a shortlist:
_SHORTLIST = 8
_COREFERENCE_PAIRS = 600  # pairs of the split that are searched for sentences with pronouns
_BLEU_POINTS = 6  # points of the pruning curve with BLEU
_MAX_TRANSLATED = 100  # sentences translated for BLEU


def measure_heads(run: InspectedRun, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Measures every head of a run on pairs of a split, and draws figures to a folder.

    The attention of a recurrent model has one head. A model without attention has none, which the study reports.
    """
    batches = run.batches(pairs)
    if not run.scales:
        return Study("heads", f"### Heads on {split}\n\nThis model has no attention, and so no heads.\n", {"heads": {}})
    roles = _role_statistics(run, split, batches)
    evaluation = _MaskedEvaluation(run, pairs, batches)
    examples = generated_examples(run, split, _COREFERENCE_PAIRS) if run.is_generated else []
    pronouns = [example for example in examples if example.kind == "coreference"]
    coreference = ContrastiveTest(run, pronouns) if pronouns else None
    by_head = _measure_each(run, evaluation, roles, coreference)
    curve, bleu_at = evaluation.prune()
    headers = ["head", "loss", "BLEU", "gradient", *(["coreference, %"] if coreference else []), "role", "lift"]
    text = "\n".join(
        [
            f"### Heads on {split}, each masked separately\n",
            _about(evaluation, coreference),
            table(headers, [[name, *_cells(head)] for name, head in by_head.items()]),
            "### Heads pruned one after the other\n",
            _pruning_text(curve, bleu_at),
            _roles_text(roles),
        ]
    )
    values = {
        "split": split,
        "sentences": len(pairs),
        "loss": evaluation.base_loss,
        "bleu": evaluation.base_bleu,
        "heads": by_head,
        "pruning": [
            {"head": head_name(*step.head) if step.head else None, "loss": step.loss, "bleu": bleu_at.get(index)}
            for index, step in enumerate(curve)
        ],
        "roles": {
            name: {role: {"weight": mean_H.tolist(), "even": uniform} for role, (mean_H, uniform) in by_role.items()}
            for name, by_role in roles.mean_weights().items()
        },
    }
    return Study("heads", text, values, _draw(run, by_head, curve, bleu_at, folder))


def contrast_by_head(run: InspectedRun, examples: Sequence[ContrastiveExample], title: str) -> Study:
    """Measures the margins of correct over incorrect translations by kind, with each head masked."""
    test = ContrastiveTest(run, examples)
    kinds = sorted({example.kind for example in examples})
    is_kind = {kind: np.array([example.kind == kind for example in examples]) for kind in kinds}

    def by_kind(scales: head_masking.Scales | None = None) -> dict[str, float]:
        margins = test.margins(scales)
        return {kind: float(margins[selected].mean()) for kind, selected in is_kind.items()}

    base = by_kind()
    heads = head_masking.unmasked_heads(run.scales)
    masked = {head_name(*head): by_kind(head_masking.mask_heads(run.scales, head)) for head in heads}
    rows = [[name, *(f"{margins[kind]:.2f}" for kind in kinds)] for name, margins in {"none": base, **masked}.items()]
    text = (
        f"### Correct and incorrect translations with one head masked: {title}\n\n"
        "Mean of log P(right) - log P(wrong) in nats; below zero the incorrect translations are more probable.\n\n"
        + table(["masked head", *kinds], rows)
    )
    return Study("contrast_by_head", text, {"margin": base, "without": masked})


class _MaskedEvaluation:
    """Loss and BLEU of a run with some heads masked."""

    def __init__(self, run: InspectedRun, pairs: Sequence[Pair], batches: Sequence[ForcedBatch]) -> None:
        self._run, self._batches = run, batches
        # The heads to prune are chosen on one half of the sentences, and the losses are those of the other half:
        # the lowest of many losses on the same sentences would be too low.
        self._choice, self._report = (run.batches(pairs[half::2] or pairs) for half in (0, 1))
        self._pairs = pairs[:_MAX_TRANSLATED]
        self.translated = len(self._pairs)
        self.base_loss, self.base_bleu = self.loss(run.scales), self.bleu(run.scales)

    def loss(self, scales: head_masking.Scales, batches: Sequence[ForcedBatch] | None = None) -> float:
        """Returns nats per token, of all sentences or of some batches."""
        batches = self._batches if batches is None else batches
        tokens = sum(int((batch.target_BT != PAD).sum()) for batch in batches)
        return float(self._run.nll(batches, scales).sum()) / tokens

    def bleu(self, scales: head_masking.Scales) -> float:
        """Returns BLEU of greedy translations."""
        greedy = dataclasses.replace(self._run.spec.decode, method="greedy")
        translations = self._run.translator(greedy, scales).translate([pair.source for pair in self._pairs])
        texts, references = [best.text for best, *_ in translations], [pair.target for pair in self._pairs]
        return bleu.bleu(texts, references, self._run.spec.data.target_language)

    def importance(self, scales: head_masking.Scales) -> head_masking.Scales:
        """Returns the mean of |d loss / d scale| over sentences, [H] by name; Michel et al. 2019."""
        return self._importance(scales, self._batches)

    def _importance(self, scales: head_masking.Scales, batches: Sequence[ForcedBatch]) -> head_masking.Scales:
        gradients = self._run.scale_gradients(batches, scales)
        return {name: np.abs(gradient).mean(axis=0) for name, gradient in gradients.items()}

    def prune(self) -> tuple[Sequence[PruningStep], dict[int, float]]:
        """Returns the pruning curve with losses of the second half, and BLEU at some of its points."""
        count = len(head_masking.unmasked_heads(self._run.scales))
        shortlist = count if count <= _EXHAUSTIVE else _SHORTLIST
        chosen = head_masking.prune(
            lambda scales: self.loss(scales, self._choice),
            lambda scales: self._importance(scales, self._choice),
            self._run.scales,
            shortlist,
        )
        curve = [step._replace(loss=self.loss(step.scales, self._report)) for step in chosen]
        points = np.unique(np.linspace(0, len(curve) - 1, _BLEU_POINTS).round().astype(int)).tolist()
        return curve, {point: self.bleu(curve[point].scales) for point in points}


def _measure_each(
    run: InspectedRun, evaluation: _MaskedEvaluation, roles: RoleStatistics, coreference: ContrastiveTest | None
) -> _ByHead:
    """Masks each head separately; returns its measurements by the head's name."""
    importance, classes = evaluation.importance(run.scales), roles.classify()
    by_head: _ByHead = {}
    for name, head in head_masking.unmasked_heads(run.scales):
        masked = head_masking.mask_heads(run.scales, (name, head))
        role, lift = classes[name][head]
        measured = {
            "loss_difference": evaluation.loss(masked) - evaluation.base_loss,
            "bleu_difference": evaluation.bleu(masked) - evaluation.base_bleu,
            "gradient": float(importance[name][head]),
            "role": role,
            "lift": lift,
        }
        if coreference:
            measured["coreference_accuracy"] = coreference.accuracy(masked)
        by_head[head_name(name, head)] = measured
    return by_head


def _role_statistics(run: InspectedRun, split: str, batches: Sequence[ForcedBatch]) -> RoleStatistics:
    """Collects the roles of all heads; on the generated corpus also the weight from a pronoun to its noun."""
    counts = collections.Counter(int(token) for batch in batches for side in batch[1:] for token in side.ravel())
    pieces = run.tokenizer.pieces(range(run.tokenizer.vocab_size))
    punctuation = [token for token, piece in enumerate(pieces) if not any(c.isalnum() for c in piece)]
    roles = RoleStatistics(counts, [BOS, EOS, *punctuation])
    for index, pair, attention in run.attention(batches):
        link = _coreference_link(run, split, index, pair) if run.is_generated else None
        for name, weights in attention.items():
            columns = pair.input_BT if name.startswith("decoder") else pair.source_BS
            roles.add(name, weights, columns.tolist())
            if link is not None:
                marked = _coreference_positions(name, link, (weights.shape[1], weights.shape[2]))
                visible = np.tri(*marked.shape) if name.startswith("decoder") else None
                roles.add_positions(name, "coreference", weights, marked, visible)
    return roles


def _coreference_link(run: InspectedRun, split: str, index: int, pair: ForcedBatch) -> dict[str, np.ndarray] | None:
    """Returns the pieces of a pronoun and of its noun on each side: bool by "source pronoun", "target noun", ..."""
    from transformer.data.grammar.probes import coreference_link

    example_and_words = coreference_link(split, index)
    if example_and_words is None:
        return None
    example, words = example_and_words
    sentences = zip((example.french_words, example.english_words), words.pronoun, words.noun, strict=True)
    by_language = dict[str, Any](zip(LANGUAGES, sentences, strict=True))
    link, data = {}, run.spec.data
    sides = (("source", data.source_language, pair.source_BS), ("target", data.target_language, pair.target_BT))
    for side, language, ids in sides:
        sentence, pronoun, noun = by_language[language]
        try:
            membership = word_membership(run.tokenizer.pieces(ids[:-1].tolist()), run.tokenizer.normalize(sentence))
        except ValueError:  # a character outside the vocabulary
            return None
        link |= {f"{side} pronoun": membership[pronoun] > 0, f"{side} noun": membership[noun] > 0}
    return link


def _coreference_positions(name: str, link: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Returns [rows, columns] with 1 from the pieces of the pronoun to those of the noun."""
    kind = name.partition("/")[0]
    marked = np.zeros(shape)
    row_side = "source" if kind == "encoder" else "target"
    column_side = "target" if kind == "decoder" else "source"
    rows, columns = np.flatnonzero(link[f"{row_side} pronoun"]), np.flatnonzero(link[f"{column_side} noun"])
    columns = columns + (kind == "decoder")  # column 0 is BOS
    marked[np.ix_(rows, columns)] = 1
    return marked * np.tri(*marked.shape) if kind == "decoder" else marked


def _cells(head: dict[str, Any]) -> list[str]:
    numbers = [f"{head['loss_difference']:+.4f}", f"{head['bleu_difference']:+.2f}", f"{head['gradient']:.3f}"]
    if "coreference_accuracy" in head:
        numbers.append(f"{100 * head['coreference_accuracy']:.1f}")
    return [*numbers, head["role"] or "–", f"{head['lift']:.2f}"]


def _about(evaluation: _MaskedEvaluation, coreference: ContrastiveTest | None) -> str:
    text = (
        f"With all heads: loss {evaluation.base_loss:.4f} nats per token, BLEU {evaluation.base_bleu:.2f} on "
        f"{evaluation.translated} greedy translations. For each head: the change of both when it is masked; the mean "
        "|d loss / d scale| per sentence, in nats (Michel et al. 2019); its role, the tokens to which it gives more "
        f"weight than uniform attention, with lift (weight - uniform) / (1 - uniform) of at least {MIN_LIFT}. Small "
        "differences in BLEU are not significant."
    )
    if coreference:
        text += (
            f" Coreference: how often the correct pronoun is more probable than the incorrect ones, in "
            f"{len(coreference.by_sentence)} sentences; with all heads {100 * coreference.accuracy():.1f} %."
        )
    return text + "\n"


def _pruning_text(curve: Sequence[PruningStep], bleu_at: dict[int, float]) -> str:
    rows = []
    for index, step in enumerate(curve):
        name = head_name(*step.head) if step.head else "–"
        score = f"{bleu_at[index]:.2f}" if index in bleu_at else ""
        rows.append([str(index), name, f"{step.loss:.4f}", score])
    about = (
        f"Each step masks the head without which the loss on one half of the sentences is lowest; the losses are those "
        f"of the other half. With more than {_EXHAUSTIVE} heads, it evaluates "
        f"the {_SHORTLIST} heads of smallest gradient."
    )
    return f"{about}\n\n{table(['masked heads', 'last', 'loss', 'BLEU'], rows)}"


def _roles_text(roles: RoleStatistics) -> str:
    mean_weights = roles.mean_weights()
    names = sorted({role for by_role in mean_weights.values() for role in by_role})
    rows = []
    for name, by_role in mean_weights.items():
        for head in range(len(next(iter(by_role.values()))[0])):
            cells = {role: f"{mean_H[head]:.2f} ({uniform:.2f})" for role, (mean_H, uniform) in by_role.items()}
            rows.append([head_name(name, head), *(cells.get(role, "") for role in names)])
    about = "Mean weight, and in parentheses that of uniform attention."
    return f"### What heads attend to\n\n{about}\n\n{table(['head', *names], rows)}"


def _draw(
    run: InspectedRun, by_head: _ByHead, curve: Sequence[PruningStep], bleu_at: dict[int, float], folder: pathlib.Path
) -> Sequence[CaptionedFigure]:
    def draw(key: str, title: str) -> CaptionedFigure:
        grid = {}
        for name, scale_H in run.scales.items():
            grid[name] = np.array([by_head[head_name(name, head)][key] for head in range(len(scale_H))])
        return draw_head_grid(grid, folder / f"heads_{key}", title), title

    pruning = draw_pruning([step.loss for step in curve], bleu_at, folder / "heads_pruning")
    return [
        draw("loss_difference", "Change of the loss when a head is masked, nats per token"),
        draw("gradient", "Mean |d loss / d scale| of a head, nats per sentence"),
        (pruning, "Loss and BLEU by the number of pruned heads"),
    ]
