"""Activation patching of pairs of sources: which positions, heads and paths decide between two target tokens."""

import copy
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.contrasts import SourcePair, contrast_batches
from experiments.studies.figures import draw_heat_map
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import CaptionedFigure, Study, format_share, head_name, traced_attention
from experiments.web.markdown import table
from transformer.analysis import patching, tracing
from transformer.analysis.subwords import piece_texts
from transformer.evaluation.confidence import ratio_of_means
from transformer.spec import PAD

DIRECTIONS = ("noising", "denoising")
_ROWS = 40  # pairs in a batch
_PREFIX_ROLES = ("earlier words", "last word")  # of the decoder's positions; the last one predicts the token
_PATH_PAIRS = 40  # pairs on which paths are measured: there are hundreds of paths
_SHOWN_PATHS = 10
_RANDOM_SETS = 100

_Both = tuple[np.ndarray, np.ndarray]  # of runs on the first sources and on the other sources of pairs
_Rows = list[dict[str, Any]]


def measure_patching(run: InspectedRun, kinds: Mapping[str, Sequence[SourcePair]], folder: pathlib.Path) -> Study:
    """Measures what patches change for pairs of sources of each kind, and draws figures to a folder."""
    parts, values, figures = [], {}, list[CaptionedFigure]()
    for kind, pairs in kinds.items():
        patched = _PatchedRun(run, pairs)
        measured: dict[str, Any] = {"pairs": len(pairs), "both_right": len(patched.pairs), "scores": patched.means}
        values[kind] = measured
        parts.append(f"### Patching: {kind}\n\n{_about(measured)}\n")
        if patched.pairs:
            measured["streams"], measured["example"] = _streams(patched)
            parts += [_stream_table(measured["streams"], direction) for direction in DIRECTIONS]
            figures += _draw_streams(measured, kind, folder)
        if patched.pairs and patched.attentions:
            measured |= {"heads": _heads(patched), "paths": _paths(patched.first(_PATH_PAIRS))}
            measured["circuit"] = _circuit(patched, measured["heads"])
            parts += [
                _head_table(measured["heads"]),
                _path_table(measured["paths"]),
                _circuit_text(measured["circuit"]),
            ]
            figures.append(_draw_heads(patched, measured["heads"], kind, folder))
    return Study("patching", "\n".join(parts), values, figures)


class _PatchedRun:
    """A run, and the pairs for whose two sources it prefers the right token.

    The score of a source is log P(right) - log P(wrong) in nats, where "right" is the right token of the first source.
    """

    def __init__(self, run: InspectedRun, pairs: Sequence[SourcePair]) -> None:
        self.run, self.pairs = run, list(pairs)
        own, other = self.both(patching.score)
        self.means = [float(own.mean()), float(other.mean())]
        kept = (own > 0) & (other < 0)
        self.scores: _Both = (own[kept], other[kept])
        self.pairs = [pair for pair, keep in zip(pairs, kept, strict=True) if keep]
        ids = jax.ShapeDtypeStruct((1, 1), np.int32)
        self.names = list(jax.eval_shape(lambda ids: tracing.activations(run.model, ids, ids), ids))
        # In the order of computation: the encoder's, then those of each decoder layer.
        outputs = sorted(name for name in self.names if name.endswith("/heads"))
        self.attentions = [name.removesuffix("/heads") for name in outputs]
        self.attentions.sort(key=lambda name: (name[0] != "e", name.split("/")[1], "cross" in name))
        self.heads = run.spec.model.heads

    def first(self, count: int) -> "_PatchedRun":
        """Returns the run with the first pairs only."""
        part = copy.copy(self)
        part.pairs, part.scores = self.pairs[:count], (self.scores[0][:count], self.scores[1][:count])
        return part

    def batches(self) -> list[patching.ContrastBatch]:
        return contrast_batches(self.pairs, min(_ROWS, len(self.pairs)))

    def both(self, function: Callable[[Any, patching.ContrastBatch], jax.Array]) -> _Both:
        """Returns the results of a function, [..., B] of each batch, for both sources of all pairs."""
        compiled = self.run.jit(lambda params, batch: function(self.run.system.model(params), batch))
        results = [[compiled(self.run.params, side) for side in (batch, batch.swapped())] for batch in self.batches()]
        sides = [np.concatenate(list(map(np.asarray, side)), axis=-1) for side in zip(*results, strict=True)]
        return sides[0][..., : len(self.pairs)], sides[1][..., : len(self.pairs)]

    def changes(self, patched: _Both) -> _Both:
        """Returns by how much patches lower the score of the first source, and by how much they raise the other's."""
        return self.scores[0] - patched[0], patched[1] - self.scores[1]

    def effects(self, changes: _Both) -> list[dict[str, list[float]]]:
        """Returns the share that changes have in the difference of both sources' scores, with its interval.

        Args:
          changes: [sites, pairs] in both directions.
        """
        ratios = [ratio_of_means(change, self.scores[0] - self.scores[1]) for change in changes]
        sites = zip(*(zip(*ratio, strict=True) for ratio in ratios), strict=True)
        return [{name: list(map(float, ends)) for name, ends in zip(DIRECTIONS, both, strict=True)} for both in sites]


def _streams(patched: _PatchedRun) -> tuple[_Rows, dict[str, Any]]:
    """Returns the effect of each residual stream or state by role, and the first pair with effects by position.

    Each position is patched separately; the effect of a role is the sum over its positions.
    """
    rows, example = _Rows(), _first_pair(patched)
    for stack, groups in patching.stream_groups(patched.names).items():
        batch = patched.batches()[0]
        width = (batch.source_BS if stack == "encoder" else batch.input_BT).shape[1]
        scores = patched.both(lambda model, batch, g=groups, w=width: patching.patch_positions(model, batch, g, w))
        changes = patched.changes(scores)
        roles = [pair.roles if stack == "encoder" else _prefix_roles(pair) for pair in patched.pairs]
        for group, names in enumerate(groups):
            site = " + ".join(names)
            own = [_in_source_order(patched, names[0], change[group]) for change in changes]
            for role in roles[0]:
                sums = [
                    [_sum(change[:, index], by_role[role]) for index, by_role in enumerate(roles)] for change in own
                ]
                effects = patched.effects((np.array(sums[:1]), np.array(sums[1:])))
                rows.append({"site": site, "role": role, **effects[0]})
            length = len(example["source" if stack == "encoder" else "prefix"])
            difference = (patched.scores[0] - patched.scores[1])[0]
            first = [(change[:length, 0] / difference).tolist() for change in own]
            example["sites"].append({"site": site, **dict(zip(DIRECTIONS, first, strict=True))})
    return rows, example


def _in_source_order(patched: _PatchedRun, name: str, change: np.ndarray) -> np.ndarray:
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


def _prefix_roles(pair: SourcePair) -> dict[str, Sequence[int]]:
    last = len(pair.contrast.prefix) - 1
    return dict(zip(_PREFIX_ROLES, (range(last), (last,)), strict=True))


def _first_pair(patched: _PatchedRun) -> dict[str, Any]:
    """Returns the texts of the tokens of the first pair."""
    pair, pieces = patched.pairs[0], patched.run.tokenizer.pieces
    ids = {"source": pair.contrast.source, "other_source": pair.other_source, "prefix": pair.contrast.prefix}
    right, wrong = piece_texts(pieces([pair.contrast.right, pair.contrast.wrong]))
    texts = {name: piece_texts(pieces(list(side))) for name, side in ids.items()}
    return {**texts, "right": right, "wrong": wrong, "sites": []}


def _heads(patched: _PatchedRun) -> dict[str, dict[str, Any]]:
    """Returns the effect of each head, patched at all positions, and the role that it attends to most."""
    names = [f"{name}/heads" for name in patched.attentions]
    scores = patched.both(lambda model, batch: patching.patch_heads(model, batch, names, patched.heads))
    effects = patched.effects(_flat(patched.changes(scores)))
    return dict(zip(_head_names(patched), map(dict.__or__, effects, _attended(patched)), strict=True))


def _flat(changes: _Both) -> _Both:
    return changes[0].reshape(-1, changes[0].shape[-1]), changes[1].reshape(-1, changes[1].shape[-1])


def _head_names(patched: _PatchedRun) -> list[str]:
    """Returns the names of all heads as other studies write them, such as "cross 1.2"."""
    return [head_name(traced_attention(name), head) for name in patched.attentions for head in range(patched.heads)]


def _attended(patched: _PatchedRun) -> _Rows:
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
            rows.append({"attends_to": best, "weight": means[best]} if best else {})
    return rows


def _paths(patched: _PatchedRun) -> _Rows:
    """Returns the effects of the paths from each head to each head of a later attention, and to the logits."""
    scores = patched.both(lambda model, batch: patching.patch_paths(model, batch, patched.attentions, patched.heads))
    heads = _head_names(patched)
    effects = iter(patched.effects(_flat(patched.changes(scores))))
    rows = [{"from": sender, "to": receiver, **next(effects)} for sender in heads for receiver in [*heads, "logits"]]
    return sorted((row for row in rows if any(row["noising"])), key=lambda row: -abs(row["noising"][0]))


def _circuit(patched: _PatchedRun, heads: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns how often both sources are right without the heads of largest effect, and without as many random ones.

    A head belongs to the circuit if its effect by noising is positive and at least half of the largest one. The
    output of a removed head is its mean over all positions of the pairs.
    """
    effects = {name: head["noising"][0] for name, head in heads.items()}
    chosen = np.array([effect >= max(effects.values()) / 2 for effect in effects.values()])
    generator = np.random.default_rng(0)
    rest = np.flatnonzero(~chosen)
    sets = np.zeros((1 + _RANDOM_SETS, len(chosen)), bool)
    sets[0] = chosen
    for row in sets[1:]:
        row[generator.choice(rest, min(int(chosen.sum()), len(rest)), replace=False)] = True
    names = [f"{name}/heads" for name in patched.attentions]
    corpus = [(side.source_BS, _targets(batch)) for batch in patched.batches() for side in (batch, batch.swapped())]
    means = tracing.mean_activations(patched.run.model, corpus, names)
    shaped = jnp.asarray(sets.reshape(len(sets), len(names), patched.heads))
    own, other = patched.both(lambda model, batch: patching.ablate_heads(model, batch, means, shaped))
    right = ((own > 0) & (other < 0)).mean(axis=1)
    difference = (own - other).mean(axis=1) / (patched.scores[0] - patched.scores[1]).mean()
    return {
        "heads": [name for name, inside in zip(heads, chosen, strict=True) if inside],
        "pairs": len(patched.pairs),
        "right": float(right[0]),
        "difference": float(difference[0]),
        "random_sets": _RANDOM_SETS,
        "random_right": np.quantile(right[1:], [0.5, 0.025, 0.975]).tolist(),
        "random_difference": np.quantile(difference[1:], [0.5, 0.025, 0.975]).tolist(),
    }


def _targets(batch: patching.ContrastBatch) -> np.ndarray:
    """Returns the prefixes without BOS and with the right token, whose decoder inputs are the prefixes."""
    input_BT = np.asarray(batch.input_BT)
    targets = np.concatenate([input_BT[:, 1:], np.full_like(input_BT[:, :1], PAD)], axis=1)
    targets[np.arange(len(targets)), batch.position_B] = batch.right_B
    return targets


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


def _cell(effect: Sequence[float]) -> str:
    value, half_width = effect
    return "–" if np.isnan(value) else f"{value:.2f} ± {half_width:.2f}" if np.isfinite(half_width) else f"{value:.2f}"


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
    count, pairs = len(circuit["heads"]), circuit["pairs"]
    share = format_share(round(circuit["right"] * pairs), pairs)
    middle, low, high = (100 * value for value in circuit["random_right"])
    remaining, *random = (f"{value:.2f}" for value in (circuit["difference"], *circuit["random_difference"]))
    return (
        f"Without {', '.join(circuit['heads'])} (each at its mean) both sources are right in {share} % of the pairs, "
        f"and {remaining} of the difference of their scores remains. Without {count} random other heads: median "
        f"{middle:.1f} % ({low:.1f}–{high:.1f} in 95 % of {circuit['random_sets']} sets), and {random[0]} remains "
        f"({random[1]}–{random[2]}).\n"
    )


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
            figures.append((draw_heat_map(grid, rows, example[side], path, title), f"{stack}, {title}"))
    return figures


def _draw_heads(
    patched: _PatchedRun, heads: dict[str, dict[str, Any]], kind: str, folder: pathlib.Path
) -> CaptionedFigure:
    grid = np.array([head["noising"][0] for head in heads.values()]).reshape(-1, patched.heads)
    columns = [f"head {head + 1}" for head in range(patched.heads)]
    rows = [name.rpartition(".")[0] for name in list(heads)[:: patched.heads]]
    title = f"{kind}: effect of each head, noising"
    return draw_heat_map(grid, rows, columns, folder / f"patching_{kind}_heads", title), title
