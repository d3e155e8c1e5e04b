"""The report of a sweep: each variant's scores and costs over its seeds, and its difference from the base."""

import csv
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.runs.workdir import Workdir
from experiments.sweeps import figures
from experiments.sweeps.archive import read_sentences
from experiments.sweeps.cells import folder_name
from experiments.sweeps.differences import (
    METRICS,
    SentenceScores,
    compare_with_base,
    differences_table,
)
from experiments.web.markdown import format_geometric_mean, format_mean, table
from experiments.web.page import report_page
from transformer.evaluation.confidence import Mean, mean
from transformer.evaluation.significance import Comparison
from transformer.training import metrics

_SCORES = {"bleu": "BLEU", "chrf": "chrF", "bleu_paper": "bleu_paper", "exact": "exact %", "perplexity": "perplexity"}
_VOCABULARY_KEYS = {
    "data.vocab_size",
    "data.uncased",
    "data.direction",
    "data.tokenizer",
    "data.name",
    "data.source",
    "data.mixture",
}
_FLAT = 0.02  # nats per token: a run whose last fifth gained less has converged
_UNCONVERGED = "†"  # marks variants that have not
_ABOUT_DIFFERENCES = (
    "Differences of mean scores; the variance over seeds and that over sentences are both in the interval and in p. "
    "Holm's correction is for all rows of the table. An interval has the level at which Holm's method tests its row: "
    "it excludes zero exactly if the difference is significant. See transformer/evaluation/significance.py.\n"
)
_CURVES = {"bleu": "BLEU", "loss": "loss, nats per token"}  # metrics of validation
_COSTS: dict[str, tuple[str, float, int]] = {  # key of result.json → column heading, unit, decimals
    "parameters": ("parameters, M", 1e6, 2),
    "target_tokens": ("target tokens, M", 1e6, 2),
    "training_flops": ("training matmul PFLOP", 1e15, 3),
    "tokens_per_second": ("target tokens/s", 1.0, 0),
    "training_minutes": ("minutes of training", 1.0, 1),
    "members": ("members of the population", 1.0, 0),
}
_TIMES = {  # key of "goodput" in result.json → column heading
    "steps": "steps (goodput)",
    "start_up": "start-up",
    "compilation": "compilation",
    "input": "input",
    "evaluation": "evaluation",
    "saving": "saving",
    "lost": "lost to restarts",
}


class Report:
    """The results of a sweep's finished cells.

    Args:
      results: variant → seed → content of result.json.
      unfinished: number of cells that have started and are not finished.
      published: variant → published scores by name.
      base: the variant that the others are compared with.
      sentences: (variant, seed, split) → statistics of its translations.
      curves: (variant, seed) → validation events of metrics.jsonl, in order.
      other_batches: variants whose batches differ from the base's, because they change a setting of the batches.
      other_vocabulary: variants whose perplexity is not comparable with the base's, because their tokens differ.
      metric: the score that is compared with the base's: "bleu", or "bleu_paper" of models of lower-cased text.
    """

    def __init__(
        self,
        results: dict[str, dict[int, dict[str, Any]]],
        unfinished: int = 0,
        published: dict[str, Any] | None = None,
        base: str = "",
        sentences: dict[tuple[str, int, str], SentenceScores] | None = None,
        curves: dict[tuple[str, int], list[dict[str, Any]]] | None = None,
        other_batches: Sequence[str] = (),
        other_vocabulary: Sequence[str] = (),
        metric: str = "bleu",
    ) -> None:
        self._seeds = {name: seeds for name, seeds in results.items() if seeds}
        self._results = {name: list(seeds.values()) for name, seeds in self._seeds.items()}
        self._unfinished, self._published = unfinished, published or {}
        self._base, self._sentences, self._metric = base, sentences or {}, metric
        self._curves, self._other_batches, self._other_vocabulary = curves or {}, other_batches, other_vocabulary
        if not self._results:
            raise ValueError(f"no cell of the sweep is finished ({unfinished} have started)")

    @classmethod
    def from_folder(cls, folder: pathlib.Path) -> "Report":
        """Reads the sweep in a folder.

        Raises:
          FileNotFoundError: the folder holds no sweep.
          ValueError: no cell is finished.
        """
        path = folder / "sweep.json"
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no sweep found (sweep.json is missing)")
        sweep = json.loads(path.read_text(encoding="utf-8"))
        variants = sweep["variants"]
        results: dict[str, dict[int, Any]] = {}
        unfinished, sentences, curves = 0, {}, {}
        for variant in variants:
            paths = [path for path in (folder / folder_name(variant)).glob("seed*") if path.is_dir()]
            workdirs = {int(path.name.removeprefix("seed")): Workdir(path) for path in paths}
            results[variant] = {}
            for seed, workdir in sorted(workdirs.items()):
                if not workdir.result.exists():
                    unfinished += 1
                    continue
                result = results[variant][seed] = json.loads(workdir.result.read_text(encoding="utf-8"))
                curves[variant, seed] = [event for event in metrics.read(workdir.path) if event["split"] != "train"]
                for split, scores in read_sentences(workdir.path, result, _language(sweep, variant)).items():
                    sentences[variant, seed, split] = scores
        base = next((name for name, changes in variants.items() if not changes), next(iter(variants), ""))
        batch_settings = {name: _batch_settings(changes) for name, changes in variants.items()}
        other_batches = [name for name, changes in batch_settings.items() if changes != batch_settings[base]]
        other_vocabulary = [name for name, changes in variants.items() if changes.keys() & _VOCABULARY_KEYS]
        metric = "bleu_paper" if sweep["base"].get("data", {}).get("uncased") else "bleu"
        return cls(
            results, unfinished, sweep["published"], base, sentences, curves, other_batches, other_vocabulary, metric
        )

    @property
    def splits(self) -> list[str]:
        """All splits that a cell was scored on."""
        results = (result for seeds in self._results.values() for result in seeds)
        return list(dict.fromkeys(split for result in results for split in result["splits"]))

    def tables(self) -> str:
        """Returns all tables, as Markdown."""
        results = [result for seeds in self._results.values() for result in seeds]
        parts = [
            "Means over seeds ± half the width of the 95 % confidence interval (Student's t); of perplexity, the "
            "exponential of the mean loss and of its interval's ends.\n"
        ]
        if len(self._results) > 1:
            exception = f", except {', '.join(self._other_batches)}" if self._other_batches else ""
            parts.append(f"For each seed, all variants saw the same batches in the same order{exception}.\n")
        if self._unfinished:
            parts.append(f"Unfinished cells, not included: {self._unfinished}.\n")
        for split in self.splits:
            parts += [f"### Scores on {split}\n", self._scores(split)]
            if self.unconverged():
                parts.append(
                    f"{_UNCONVERGED}: the last fifth of training lowered the validation loss by {_FLAT} or more.\n"
                )
            if comparisons := self.comparisons(split):
                name = METRICS[self._metric]
                parts += [
                    f"### {name} on {split} compared with {self._base}\n",
                    differences_table({self._label(name): row for name, row in comparisons.items()}),
                ]
                parts.append(_ABOUT_DIFFERENCES)
        parts += ["### Cost\n", self._costs()]
        if any("goodput" in result for result in results):
            parts += ["### Wall time, with start-up, evaluation and all restarts, and its shares in %\n", self._times()]
        if gains := self.last_gains():
            rows = [
                [self._label(variant), format_mean(updates, 0), format_mean(gain, 4)]
                for variant, (updates, gain) in gains.items()
            ]
            parts += [
                "### Convergence\n",
                table(["variant", "updates", "gain of the last fifth, nats per token"], rows),
            ]
        if any(result.get("members", 1) > 1 for result in results):
            parts.append(
                "Members of a population share its time: minutes are per member, tokens/s are of all members.\n"
            )
        for split in self.splits:
            parts += [f"### BLEU on {split} by source length in words\n", self._breakdown(split, "by_source_length")]
            if any("by_phenomenon" in result["splits"].get(split, {}) for result in results):
                title = f"### Exact translations on {split}, % of the sentences with each phenomenon\n"
                parts += [title, self._breakdown(split, "by_phenomenon")]
        return "\n".join(parts)

    def _scores(self, split: str) -> str:
        published = sorted({name for scores in self._published.values() for name in scores})
        rows = []
        for variant, results in self._results.items():
            scores = [result["splits"][split] for result in results if split in result["splits"]]
            if not scores:
                continue
            means = [_format_scores(name, [seed.get(name) for seed in scores]) for name in _SCORES]
            if variant in self._other_vocabulary:
                means[-1] += " (other vocabulary)"
            published_scores = [str(self._published.get(variant, {}).get(name, "")) for name in published]
            rows.append([self._label(variant), str(len(scores)), *means, *published_scores])
        return table(["variant", "seeds", *_SCORES.values(), *(f"published {name}" for name in published)], rows)

    def comparisons(self, split: str) -> dict[str, Comparison]:
        """Compares every variant that translated the same sentences with the base."""
        runs: dict[str, list[SentenceScores]] = {}
        for (variant, _, name), scores in self._sentences.items():
            if name == split:
                runs.setdefault(variant, []).append(scores)
        return compare_with_base(runs, self._base, self._metric)

    def _costs(self) -> str:
        rows = [[self._label(variant)] for variant in self._results]
        for name, (_, unit, decimals) in _COSTS.items():
            for row, results in zip(rows, self._results.values(), strict=True):
                row.append(format_mean(mean([result.get(name, 1) / unit for result in results]), decimals))
        return table(["variant", *(heading for heading, _, _ in _COSTS.values())], rows)

    def _times(self) -> str:
        rows = []
        for variant, results in self._results.items():
            # Results of older versions have no account.
            if accounts := [result["goodput"] for result in results if "goodput" in result]:
                minutes = format_mean(mean([account["wall_seconds"] / 60 for account in accounts]), 1)
                shares = (format_mean(mean([100 * account[phase] for account in accounts]), 1) for phase in _TIMES)
                rows.append([self._label(variant), minutes, *shares])
        return table(["variant", "minutes", *_TIMES.values()], rows)

    def _breakdown(self, split: str, kind: str) -> str:
        breakdowns = self.breakdown(split, kind)
        counts = {name: count for parts in breakdowns.values() for name, (count, _) in parts.items()}
        rows = []
        for name, count in counts.items():
            means = (format_mean(parts[name][1], 1) if name in parts else "" for parts in breakdowns.values())
            rows.append([name, str(count), *means])
        return table(["", "sentences", *map(self._label, breakdowns)], rows)

    def breakdown(self, split: str, kind: str) -> dict[str, dict[str, tuple[int, Mean]]]:
        """Returns variant → part of the split → (sentences, mean); `kind` is "by_source_length" or "by_phenomenon"."""
        breakdowns = {}
        for variant, results in self._results.items():
            scores = [result["splits"][split][kind] for result in results if kind in result["splits"].get(split, {})]
            if scores:
                breakdowns[variant] = {
                    name: (count, mean([seed[part][2] for seed in scores]))
                    for part, (name, count, _) in enumerate(scores[0])
                }
        return breakdowns

    def last_gains(self) -> dict[str, tuple[Mean, Mean]]:
        """Returns variant → its updates, and how much the last fifth of them lowered the validation loss."""
        gains = {}
        for variant, seeds in self._seeds.items():
            values = []
            for seed in seeds:
                events = [event for event in self._curves.get((variant, seed), ()) if "loss" in event]
                early = [event for event in events if event["step"] <= 0.8 * events[-1]["step"]]
                if early:
                    values.append((events[-1]["step"], early[-1]["loss"] - events[-1]["loss"]))
            if values:
                updates, losses = zip(*values, strict=True)
                gains[variant] = (mean(updates), mean(losses))
        return gains

    def unconverged(self) -> list[str]:
        """Returns the variants whose validation loss had not become flat."""
        return [variant for variant, (_, gain) in self.last_gains().items() if gain.value >= _FLAT]

    def _label(self, variant: str) -> str:
        return f"{variant} {_UNCONVERGED}" if variant in self.unconverged() else variant

    def quality_and_cost(self, split: str) -> dict[str, tuple[float, Mean]]:
        """Returns variant → (PFLOP of training, mean score on a split)."""
        points = {}
        for variant, results in self._results.items():
            scores = [result["splits"][split][self._metric] for result in results if split in result["splits"]]
            if scores:
                points[variant] = (mean([result["training_flops"] / 1e15 for result in results]).value, mean(scores))
        return points

    def curves(self, metric: str) -> dict[str, figures.Curve]:
        """Returns variant → points (update, mean of a validation metric over the seeds that reached the update)."""
        curves: dict[str, figures.Curve] = {}
        for variant, seeds in self._seeds.items():
            events = [event for seed in seeds for event in self._curves.get((variant, seed), ()) if "loss" in event]
            steps = sorted({event["step"] for event in events if metric in event})
            values = {step: [event[metric] for event in events if event["step"] == step] for step in steps}
            if values:
                curves[variant] = [(step, mean(of_seeds)) for step, of_seeds in values.items()]
        return curves

    def values(self) -> Iterable[tuple[str, int, str, str, float]]:
        """Yields every number as (variant, seed, split or "training", name, value)."""
        for variant, seeds in self._seeds.items():
            for seed, result in seeds.items():
                for name in _COSTS:
                    yield variant, seed, "training", name, result.get(name, 1)
                for name, value in result.get("goodput", {}).items():
                    yield variant, seed, "training", f"goodput/{name}", value
                for split, scores in result["splits"].items():
                    for name in filter(scores.__contains__, _SCORES):
                        yield variant, seed, split, name, scores[name]
                    for kind in ("by_source_length", "by_phenomenon"):
                        for name, _, value in scores.get(kind, ()):
                            yield variant, seed, split, f"{kind}/{name}", value

    def write(self, folder: pathlib.Path) -> str:
        """Writes report.md, report.csv, report.html and the figures to a folder; returns the tables."""
        folder.mkdir(parents=True, exist_ok=True)
        tables = self.tables()
        (folder / "report.md").write_text(tables, encoding="utf-8")
        with (folder / "report.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("variant", "seed", "split", "name", "value"))
            writer.writerows(self.values())
        title = f"Sweep {folder.absolute().parent.name}"
        drawn = [(path.with_suffix(".svg"), caption) for path, caption in self._draw(folder)]
        images = [(path, caption) for path, caption in drawn if path.exists()]
        (folder / "report.html").write_text(report_page(title, tables, images), encoding="utf-8")
        return tables

    def _draw(self, folder: pathlib.Path) -> Iterable[tuple[pathlib.Path, str]]:
        """Draws all figures; yields each figure's path without its suffix, and its caption."""
        name = METRICS[self._metric]
        for split in self.splits:
            if comparisons := self.comparisons(split):
                path = folder / f"differences_{split}"
                figures.draw_differences(comparisons, path, f"{name} on {split}, difference from {self._base}")
                yield path, f"{name} on {split}: difference from {self._base} with its interval; filled: significant"
            if len(points := self.quality_and_cost(split)) > 1:
                figures.draw_quality_and_cost(points, folder / f"cost_{split}", name)
                yield folder / f"cost_{split}", f"{name} on {split} by the matmul FLOPs of training; bars: intervals"
        for metric, label in _CURVES.items():
            if curves := self.curves(metric):
                figures.draw_learning_curves(curves, folder / f"learning_{metric}", label)
                note = "mean of the seeds that reached the update; bands: 95 % confidence intervals"
                yield folder / f"learning_{metric}", f"{label.partition(',')[0]} on validation by update, {note}"
        for split in self.splits:
            figures.draw_by_length(self.breakdown(split, "by_source_length"), folder / f"length_{split}")
            yield folder / f"length_{split}", f"BLEU on {split} by source length; bars: 95 % confidence intervals"


def _batch_settings(changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the changes that affect the content of batches."""
    return {key: value for key, value in changes.items() if key.startswith("data.") or key == "train.accumulate"}


def _language(sweep: dict[str, Any], variant: str) -> str:
    """Returns the target language of a variant of sweep.json."""
    base = sweep["base"].get("data", {}).get("direction", "fr-en")
    return sweep["variants"][variant].get("data.direction", base).partition("-")[2]


def _format_scores(name: str, values: Sequence[float | None]) -> str:
    """Returns the mean as text; empty if a seed's result.json, written by an older version, lacks the score."""
    scores = [value for value in values if value is not None]
    if len(scores) != len(values):
        return ""
    return format_geometric_mean(scores, 2) if name == "perplexity" else format_mean(mean(scores), 2)
