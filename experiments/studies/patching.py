"""Activation patching of pairs of sources: which positions, heads and paths decide between two target tokens."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.circuit import measure_circuit, measure_words, removal_text
from experiments.studies.contrasts import SourcePair
from experiments.studies.figures import draw_heat_map
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.patched_run import DIRECTIONS, Both, PatchedRun, flat
from experiments.studies.study import CaptionedFigure, Study
from experiments.web.markdown import table
from transformer.analysis import patching, tracing
from transformer.analysis.subwords import piece_texts

_SIDES = ("source", "other_source")
_PATH_PAIRS = 40  # pairs on which paths are measured: there are hundreds of paths
_SHOWN_PATHS = 10

_Rows = list[dict[str, Any]]


def measure_patching(run: InspectedRun, kinds: Mapping[str, Sequence[SourcePair]], folder: pathlib.Path) -> Study:
    """Measures what patches change for pairs of sources of each kind, and draws figures to a folder."""
    parts, values, figures = [], {}, list[CaptionedFigure]()
    for kind, pairs in kinds.items():
        all_pairs = PatchedRun(run, pairs)
        patched = all_pairs.select(all_pairs.right)
        means = [float(scores.mean()) for scores in all_pairs.scores]
        measured: dict[str, Any] = {"pairs": len(pairs), "both_right": len(patched.pairs), "scores": means}
        values[kind] = measured
        parts.append(f"### Patching: {kind}\n\n{_about(measured)}\n")
        if not patched.pairs:
            continue
        measured["streams"], measured["example"] = _streams(patched)
        parts += [_stream_table(measured["streams"], direction) for direction in DIRECTIONS]
        figures += _draw_streams(measured, kind, folder)
        if patched.attentions:
            of_heads = _measure_heads(patched, kind, folder)
            measured |= of_heads.values
            parts.append(of_heads.markdown)
            figures += of_heads.figures
    return Study("patching", "\n".join(parts), values, figures)


def _measure_heads(patched: PatchedRun, kind: str, folder: pathlib.Path) -> Study:
    """Measures heads, and the model without the changed words; with several heads also paths and the circuit."""
    heads, changes = _heads(patched)
    values: dict[str, Any] = {"heads": heads, "words": measure_words(patched)}
    text = removal_text(values["words"], "the encoder's output at the changed words (at its mean)", "random tokens")
    parts = [_head_table(heads), text]
    if len(heads) == 1:
        return Study("heads", "\n".join(parts), values)
    values["paths"] = _paths(patched.select(np.arange(min(_PATH_PAIRS, len(patched.pairs)))))
    parts.append(_path_table(values["paths"]))
    if len(patched.pairs) > 1:
        values["circuit"] = measure_circuit(patched, changes)
        parts.append(_circuit_text(values["circuit"]))
    return Study("heads", "\n".join(parts), values, [_draw_heads(patched, heads, kind, folder)])


def _streams(patched: PatchedRun) -> tuple[_Rows, dict[str, Any]]:
    """Returns the effect of each residual stream or state by role, and the first pair with effects by position.

    Each position is patched separately; the effect of a role is the sum over its positions.
    """
    groups = [group for of_stack in patching.stream_groups(patched.names).values() for group in of_stack]
    batch = patched.batches()[0]
    width = max(batch.source_BS.shape[1], batch.input_BT.shape[1])
    scores = patched.both(lambda model, batch: patching.patch_positions(model, batch, groups, width))
    changes = patched.changes(scores)
    difference = (patched.scores[0] - patched.scores[1])[0]
    rows, example = _Rows(), _first_pair(patched)
    for group, names in enumerate(groups):
        site, is_encoder = " + ".join(names), names[0].startswith("encoder")
        own = [_in_source_order(patched, names[0], change[group]) for change in changes]
        roles = [_roles(pair, is_encoder) for pair in patched.pairs]
        for role in roles[0][0]:
            sums = [
                [_sum(change[:, index], sides[side][role]) for index, sides in enumerate(roles)]
                for side, change in enumerate(own)
            ]
            effects = patched.effects((np.array(sums[:1]), np.array(sums[1:])))
            rows.append({"site": site, "role": role, **effects[0]})
        lengths = [len(example[side]) for side in (_SIDES if is_encoder else ("prefix", "prefix"))]
        first = [(change[:length, 0] / difference).tolist() for change, length in zip(own, lengths, strict=True)]
        example["sites"].append({"site": site, **dict(zip(DIRECTIONS, first, strict=True))})
    return rows, example


def _roles(pair: SourcePair, of_source: bool) -> list[Mapping[str, Sequence[int]]]:
    """Returns the positions by role, of the first source and of the other one, or twice of the prefix."""
    if of_source:
        return [pair.roles, pair.other_roles]
    last = len(pair.contrast.prefix) - 1
    return [{"earlier words": range(last), "last word": [last]}] * 2


def _in_source_order(patched: PatchedRun, name: str, change: np.ndarray) -> np.ndarray:
    """Returns the changes [positions, pairs] in the order of the source, if the states are in that of the reading."""
    if not (patched.run.spec.model.reverse_source and name.startswith("encoder/") and name.endswith("/hidden")):
        return change
    change = change.copy()
    for index, pair in enumerate(patched.pairs):
        length = len(pair.other_source)
        change[:length, index] = change[:length, index][::-1]
    return change


def _sum(values: np.ndarray, positions: Sequence[int]) -> float:
    return float(values[list(positions)].sum()) if positions else float("nan")


def _first_pair(patched: PatchedRun) -> dict[str, Any]:
    """Returns the texts of the tokens of the first pair."""
    pair, pieces = patched.pairs[0], patched.run.tokenizer.pieces
    ids = {"source": pair.contrast.source, "other_source": pair.other_source, "prefix": pair.contrast.prefix}
    right, wrong = piece_texts(pieces([pair.contrast.right, pair.contrast.wrong]))
    texts = {name: piece_texts(pieces(list(side))) for name, side in ids.items()}
    return {**texts, "right": right, "wrong": wrong, "sites": []}


def _heads(patched: PatchedRun) -> tuple[dict[str, dict[str, Any]], Both]:
    """Returns the effect of each head, patched at all positions, with what it attends to; and the changes of scores."""
    changes = flat(patched.changes(patched.both(patched.patch_heads)))
    rows = map(dict.__or__, patched.effects(changes), _attended(patched))
    return dict(zip(patched.head_names(), rows, strict=True)), changes


def _attended(patched: PatchedRun) -> _Rows:
    """Returns the source role with the largest mean weight of each head, and that weight; {} for decoder heads.

    The query of an encoder head is the pronoun, otherwise the changed word; that of a cross head is the last word.
    """

    def attention(model: Any, batch: patching.ContrastBatch) -> jax.Array:
        traced = tracing.activations(model, batch.source_BS, batch.input_BT)
        weights = []
        for name in patched.attentions:
            keys = batch.source_BS.shape[1] - traced[f"{name}/weights"].shape[3]
            queries = max(batch.source_BS.shape[1], batch.input_BT.shape[1]) - traced[f"{name}/weights"].shape[2]
            weights.append(jnp.pad(traced[f"{name}/weights"], [(0, 0), (0, 0), (0, queries), (0, max(0, keys))]))
        width = min(weight.shape[3] for weight in weights)
        return jnp.stack([weight[..., :width] for weight in weights]).transpose(0, 2, 3, 4, 1)

    weights, _ = patched.both(attention)
    rows = _Rows()
    for name, by_head in zip(patched.attentions, weights, strict=True):
        for weight in by_head:
            by_role: dict[str, list[float]] = {}
            for index, pair in enumerate(patched.pairs if "decoder/" not in name or "cross" in name else ()):
                queries = pair.roles.get("pronoun") or pair.roles["changed word"]
                query = queries[-1] if name.startswith("encoder") else len(pair.contrast.prefix) - 1
                for role, positions in pair.roles.items():
                    by_role.setdefault(role, []).append(_sum(weight[query, :, index], positions))
            means = {role: float(np.nanmean(sums)) for role, sums in by_role.items() if not np.all(np.isnan(sums))}
            best = max(means, key=lambda role: means[role], default=None)
            rows.append({"attends_to": best, "weight": means[best], "weights": means} if best else {})
    return rows


def _paths(patched: PatchedRun) -> _Rows:
    """Returns the effects of the paths from each head to each head of a later attention, and to the logits."""
    scores = patched.both(lambda model, batch: patching.patch_paths(model, batch, patched.attentions, patched.heads))
    heads = patched.head_names()
    effects = iter(patched.effects(flat(patched.changes(scores))))
    rows = [{"from": sender, "to": receiver, **next(effects)} for sender in heads for receiver in [*heads, "logits"]]
    return sorted((row for row in rows if any(row["noising"])), key=lambda row: -abs(row["noising"][0]))


def _about(measured: dict[str, Any]) -> str:
    own, other = measured["scores"]
    kept = measured["both_right"]
    if not kept:
        return f"In none of {measured['pairs']} pairs does the model prefer the right token for both sources."
    return (
        f"{measured['pairs']} pairs of sources; mean log P(right) - log P(wrong) {own:.2f} nats for the first source "
        f"and {other:.2f} for the other one. The model prefers the right token for both sources of {kept} pairs, which "
        "the rest of this section is about. Noising puts an activation of the other source into the run of the first "
        "one, denoising the reverse. An effect of 1 is the complete difference of both sources; ± is half of the 95 % "
        "confidence interval."
    )


def _cell(effect: Sequence[float | None]) -> str:
    value, half_width = effect
    return "–" if value is None else f"{value:.2f}" if half_width is None else f"{value:.2f} ± {half_width:.2f}"


def _stream_table(streams: _Rows, direction: str) -> str:
    by_site: dict[str, dict[str, str]] = {}
    for row in streams:
        by_site.setdefault(row["site"], {})[row["role"]] = _cell(row[direction])
    parts = []
    for roles in dict.fromkeys(tuple(cells) for cells in by_site.values()):
        rows = [[site, *cells.values()] for site, cells in by_site.items() if tuple(cells) == roles]
        parts.append(table([direction, *roles], rows))
    return "\n".join(parts)


def _head_table(heads: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, head in heads.items():
        weight = f"{head['weight']:.2f}" if "weight" in head else "–"
        rows.append([name, *(_cell(head[way]) for way in DIRECTIONS), head.get("attends_to", "–"), weight])
    about = (
        "Each head, patched at all positions; and the source words that it attends to most, from the pronoun or the "
        "changed word in the encoder, from the last word of the prefix in cross-attention."
    )
    return f"{about}\n\n{table(['head', *DIRECTIONS, 'attends to', 'weight'], rows)}"


def _path_table(paths: _Rows) -> str:
    rows = [[row["from"], row["to"], *(_cell(row[name]) for name in DIRECTIONS)] for row in paths[:_SHOWN_PATHS]]
    about = f"The {len(rows)} paths of largest effect on the first {_PATH_PAIRS} pairs."
    return f"{about}\n\n{table(['from', 'to', *DIRECTIONS], rows, 2)}"


def _circuit_text(circuit: dict[str, Any]) -> str:
    heads = circuit["heads"]
    found = f"Found on {circuit['found_on']} pairs: {', '.join(heads)}. The test is on the others. "
    return found + removal_text(circuit, "these heads (each at its mean)", f"{len(heads)} random other heads")


def _draw_streams(measured: dict[str, Any], kind: str, folder: pathlib.Path) -> list[CaptionedFigure]:
    example, figures = measured["example"], list[CaptionedFigure]()
    for stack, side in (("encoder", "source"), ("decoder", "prefix")):
        sites = [site for site in example["sites"] if site["site"].startswith(stack)]
        for direction in DIRECTIONS:
            grid = np.array([site[direction] for site in sites])
            title = (
                f"{direction}, {example['right']} over {example['wrong']}: share of the difference restored or removed"
            )
            path = folder / f"patching_{kind}_{stack}_{direction}"
            rows = [site["site"] for site in sites]
            columns = example["other_source" if (side, direction) == ("source", "denoising") else side]
            figures.append((draw_heat_map(grid, rows, columns, path, title), f"{stack}, {title}"))
    return figures


def _draw_heads(
    patched: PatchedRun, heads: dict[str, dict[str, Any]], kind: str, folder: pathlib.Path
) -> CaptionedFigure:
    grid = np.array([head["noising"][0] for head in heads.values()]).reshape(-1, patched.heads)
    columns = [f"head {head + 1}" for head in range(patched.heads)]
    rows = [name.rpartition(".")[0] for name in list(heads)[:: patched.heads]]
    title = f"{kind}: effect of each head, noising"
    return draw_heat_map(grid, rows, columns, folder / f"patching_{kind}_heads", title), title
