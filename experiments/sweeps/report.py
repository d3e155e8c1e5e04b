"""The report of a sweep: each variant's scores over its seeds, its costs, and its difference from the base."""

import csv
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.runs.workdir import Workdir
from experiments.sweeps import figures
from experiments.sweeps.cells import folder_name
from experiments.web.markdown import probability, table, text
from experiments.web.page import page
from transformer.data.sources.text_files import read_lines
from transformer.evaluation.confidence import Mean, mean
from transformer.evaluation.significance import Comparison, compare, holm
from transformer.training import metrics

_LEVEL = 0.05
_SCORES = ("bleu", "chrf", "bleu_paper", "exact", "perplexity")
_NAMES = {"bleu": "BLEU", "chrf": "chrF", "bleu_paper": "bleu_paper", "exact": "exact %", "perplexity": "perplexity"}
_CURVES = {"bleu": "BLEU", "loss": "loss, nats a token"}  # of validation, by update
_COSTS: dict[str, tuple[str, float, int]] = {  # of result.json: heading, unit, digits
    "parameters": ("parameters, M", 1e6, 2),
    "target_tokens": ("target tokens, M", 1e6, 2),
    "training_flops": ("training matmul PFLOP", 1e15, 3),
    "tokens_per_second": ("target tokens/s", 1.0, 0),
    "training_minutes": ("minutes of updates", 1.0, 1),
    "members": ("runs in one program", 1.0, 0),
}


class Report:
    """What a sweep's finished cells say.

    Args:
      results: of each variant, in order, and each of its seeds, the content of result.json.
      unfinished: cells that have begun and are not done.
      published: of a variant, scores by name.
      base: the variant that others are compared with.
      texts: of a variant, a seed and a split, the translations; or none, if they are not there.
      references: of a variant and a split.
      curves: of a variant and a seed, what validation said: events of metrics.jsonl, in order.
      unlike: variants whose batches are not the base's: what they change decides what is in a batch.
    """

    def __init__(
        self,
        results: dict[str, dict[int, dict[str, Any]]],
        unfinished: int = 0,
        published: dict[str, Any] | None = None,
        base: str = "",
        texts: dict[tuple[str, int, str], list[str]] | None = None,
        references: dict[tuple[str, str], list[str]] | None = None,
        curves: dict[tuple[str, int], list[dict[str, Any]]] | None = None,
        unlike: Sequence[str] = (),
    ) -> None:
        self._seeds = {name: seeds for name, seeds in results.items() if seeds}
        self._results = {name: list(seeds.values()) for name, seeds in self._seeds.items()}
        self._unfinished, self._published = unfinished, published or {}
        self._base, self._texts, self._references = base, texts or {}, references or {}
        self._curves, self._unlike = curves or {}, unlike
        if not self._results:
            raise ValueError(f"no cell of the sweep is finished ({unfinished} have begun)")

    @classmethod
    def of(cls, folder: pathlib.Path) -> "Report":
        """The report of the sweep in a folder.

        Raises:
          FileNotFoundError: there is no sweep.
          ValueError: nothing in it is finished.
        """
        path = folder / "sweep.json"
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no sweep here (sweep.json is missing)")
        kept = json.loads(path.read_text(encoding="utf-8"))
        results: dict[str, dict[int, Any]] = {}
        unfinished, texts, references, curves = 0, {}, {}, {}
        for variant in kept["variants"]:
            paths = {
                int(path.name.removeprefix("seed")): Workdir(path)
                for path in (folder / folder_name(variant)).glob("seed*")
                if path.is_dir()
            }
            results[variant] = {}
            for seed, cell in sorted(paths.items()):
                if not cell.result.exists():
                    unfinished += 1
                    continue
                result = results[variant][seed] = json.loads(cell.result.read_text(encoding="utf-8"))
                curves[variant, seed] = [event for event in metrics.read(cell.path) if event["split"] != "train"]
                for split in result["splits"]:
                    files = [cell.translations(split, name) for name in (result["updates"], "reference")]
                    if all(path.exists() for path in files):
                        texts[variant, seed, split], references[variant, split] = map(read_lines, files)
        base = next(
            (name for name, changes in kept["variants"].items() if not changes), next(iter(kept["variants"]), "")
        )
        batches = {
            name: {key: value for key, value in changes.items() if _of_batches(key)}
            for name, changes in kept["variants"].items()
        }
        unlike = [name for name, changes in batches.items() if changes != batches[base]]
        return cls(results, unfinished, kept["published"], base, texts, references, curves, unlike)

    @property
    def splits(self) -> list[str]:
        """Every split that a cell was scored on."""
        return list(
            dict.fromkeys(split for seeds in self._results.values() for one in seeds for split in one["splits"])
        )

    def tables(self) -> str:
        """All tables, as Markdown."""
        parts = ["Mean over seeds ± half the width of its 95 % interval (Student's t).\n"]
        if len(self._results) > 1:
            but = f", but for {', '.join(self._unlike)}" if self._unlike else ""
            parts.append(f"Variants saw the same batches in the same order, seed by seed{but}.\n")
        if self._unfinished:
            parts.append(f"{self._unfinished} cells are not finished and left out.\n")
        for split in self.splits:
            parts += [f"### Scores on {split}\n", self._scores(split)]
            if compared := self.comparisons(split):
                parts += [f"### BLEU on {split} against {self._base}\n", _differences(compared)]
        parts += ["### Cost\n", self._costs()]
        if any(one.get("members", 1) > 1 for seeds in self._results.values() for one in seeds):
            parts.append("Runs in one program share its time: minutes are each one's part, tokens/s those of all.\n")
        for split in self.splits:
            parts += [f"### BLEU on {split} by source length, in words\n", self._breakdown(split, "by_source_length")]
            if any(
                "by_phenomenon" in one["splits"].get(split, {}) for seeds in self._results.values() for one in seeds
            ):
                title = f"### Translated exactly on {split}, %, of the sentences with each phenomenon\n"
                parts += [title, self._breakdown(split, "by_phenomenon")]
        return "\n".join(parts)

    def _scores(self, split: str) -> str:
        heads = [_NAMES[name] for name in _SCORES]
        published = sorted({name for scores in self._published.values() for name in scores})
        rows = []
        for variant, seeds in self._results.items():
            scored = [one["splits"][split] for one in seeds if split in one["splits"]]
            if not scored:
                continue
            row = [variant, str(len(scored)), *(_mean_text([one.get(name) for one in scored]) for name in _SCORES)]
            row += [str(self._published.get(variant, {}).get(name, "")) for name in published]
            rows.append(row)
        return table(["variant", "seeds", *heads, *(f"published {name}" for name in published)], rows)

    def comparisons(self, split: str) -> dict[str, Comparison]:
        """Each other variant that had the base's sentences against it, over the seeds that both have."""
        found = {}
        for variant, seeds in self._seeds.items():
            common = [
                seed
                for seed in seeds
                if all((name, seed, split) in self._texts for name in (variant, self._base))
            ]  # fmt: skip
            same = self._references.get((variant, split)) == self._references.get((self._base, split))
            if variant != self._base and common and same:
                ours, theirs = ([self._texts[name, seed, split] for seed in common] for name in (self._base, variant))
                found[variant] = compare(ours, theirs, self._references[variant, split])
        return found

    def _costs(self) -> str:
        rows = [
            [variant]
            + [
                text(mean([one.get(name, 1) / unit for one in seeds]), digits)
                for name, (_, unit, digits) in _COSTS.items()
            ]
            for variant, seeds in self._results.items()
        ]
        return table(["variant", *(heading for heading, _, _ in _COSTS.values())], rows)

    def _breakdown(self, split: str, kind: str) -> str:
        parts = self.parts(split, kind)
        names = {name: count for found in parts.values() for name, (count, _) in found.items()}
        rows = [
            [name, str(count), *(text(found[name][1], 1) if name in found else "" for found in parts.values())]
            for name, count in names.items()
        ]
        return table(["", "sentences", *parts], rows)

    def parts(self, split: str, kind: str) -> dict[str, dict[str, tuple[int, Mean]]]:
        """Of each variant, part of the split → (sentences, mean score)."""
        result = {}
        for variant, seeds in self._results.items():
            scored = [one["splits"][split][kind] for one in seeds if kind in one["splits"].get(split, {})]
            if scored:
                result[variant] = {
                    name: (count, mean([each[number][2] for each in scored]))
                    for number, (name, count, _) in enumerate(scored[0])
                }
        return result

    def curves(self, name: str) -> dict[str, figures.Line]:
        """Of each variant, what validation said by update: the mean over the seeds that were that far."""
        found: dict[str, figures.Line] = {}
        for variant, seeds in self._seeds.items():
            events = [event for seed in seeds for event in self._curves.get((variant, seed), ()) if "loss" in event]
            steps = sorted({event["step"] for event in events if name in event})
            at = {step: [event[name] for event in events if event["step"] == step] for step in steps}
            if at:
                found[variant] = [(step, mean(values)) for step, values in at.items()]
        return found

    def values(self) -> Iterable[tuple[str, int, str, str, float]]:
        """Every number: (variant, seed, split or "training", name, value)."""
        for variant, seeds in self._seeds.items():
            for number, one in seeds.items():
                for name in _COSTS:
                    yield variant, number, "training", name, one.get(name, 1)
                for split, scores in one["splits"].items():
                    for name in filter(scores.__contains__, _SCORES):
                        yield variant, number, split, name, scores[name]
                    for kind in ("by_source_length", "by_phenomenon"):
                        for name, _, value in scores.get(kind, ()):
                            yield variant, number, split, f"{kind}/{name}", value

    def write(self, folder: pathlib.Path) -> str:
        """Writes everything to a folder; returns the tables."""
        folder.mkdir(parents=True, exist_ok=True)
        tables = self.tables()
        (folder / "report.md").write_text(tables, encoding="utf-8")
        with (folder / "report.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("variant", "seed", "split", "name", "value"))
            writer.writerows(self.values())
        title = f"Sweep {folder.absolute().parent.name}"
        drawn = [(path.with_suffix(".svg"), caption) for path, caption in self._draw(folder)]
        (folder / "report.html").write_text(page(title, tables, drawn), encoding="utf-8")
        return tables

    def _draw(self, folder: pathlib.Path) -> Iterable[tuple[pathlib.Path, str]]:
        """Draws everything; yields each picture's path without its ending, and what it shows."""
        for name, shown in _CURVES.items():
            if lines := self.curves(name):
                figures.learning(lines, folder / f"learning_{name}", shown)
                about = "mean of the seeds that were that far; bands: 95 % intervals"
                yield folder / f"learning_{name}", f"{shown.partition(',')[0]} on validation as training goes, {about}"
        for split in self.splits:
            figures.by_length(self.parts(split, "by_source_length"), folder / f"length_{split}")
            yield folder / f"length_{split}", f"BLEU on {split} by the source's length; bars: 95 % intervals"


def _of_batches(key: str) -> bool:
    """Whether a setting decides what is in a batch."""
    return key.startswith("data.") or key == "train.accumulate"


def _differences(compared: dict[str, Comparison]) -> str:
    """Of each variant, how far it is from the base, and whether that may be chance."""
    adjusted = holm({variant: comparison.p for variant, comparison in compared.items()})
    rows = [
        [
            variant,
            text(comparison.difference, 2),
            probability(comparison.p_sentences),
            "" if comparison.p_seeds is None else probability(comparison.p_seeds),
            probability(adjusted[variant]),
            "" if adjusted[variant] < _LEVEL else "not significant",
        ]
        for variant, comparison in compared.items()
    ]
    return table(["variant", "difference", "p, sentences", "p, seeds", "p of both, Holm", ""], rows)


def _mean_text(values: Sequence[float | None]) -> str:
    """The mean, or nothing where a seed was measured before there was such a score."""
    known = [value for value in values if value is not None]
    return text(mean(known), 2) if len(known) == len(values) else ""
