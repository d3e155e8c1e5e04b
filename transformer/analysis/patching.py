"""Activation patching: which activation of one sentence makes a model choose a word for another sentence.

Two sources, such as "... because it was afraid" and "... because it was wide", have translations that differ first in
one token, "il" or "elle". The score of a pair is the log-odds of the two tokens after the common prefix. A patch
replaces one activation by that of the other source; the change of the score is the activation's effect (Vig et al.
2020; Meng et al. 2022). Replacing it in the run of the first source is noising, in that of the other source denoising.
Path patching (Wang et al. 2023) replaces a head's output only as an input of one later head.

If "afraid" and "wide" differ in their numbers of pieces, each piece of one word belongs to all pieces of the other, and
gets the mean of their activations. Later words belong together although their positions differ.

All functions are pure, to be called inside `jax.jit`.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.analysis.probe import position_axis
from transformer.analysis.tracing import Activations, Patch, activations, patch
from transformer.models.interface import Seq2Seq
from transformer.ops.masks import is_token

_MAPPED = 8  # patched runs of a batch that are computed jointly
_NOWHERE = -1  # a position or a head that no activation has


class ContrastBatch(NamedTuple):
    """Pairs of sources and the tokens that their translations differ in; arrays of the batch, padded."""

    source_BS: jax.Array  # ids with EOS
    other_BS: jax.Array
    input_BT: jax.Array  # BOS and the prefix that both translations share
    position_B: jax.Array  # of the decoder, whose logits are compared: the last of the prefix
    right_B: jax.Array  # the next token of the translation of `source_BS`
    wrong_B: jax.Array  # that of the translation of `other_BS`
    aligned_BSS: jax.Array | None = None  # bool: which positions of both sources belong together; None: equal ones

    def swapped(self) -> "ContrastBatch":
        """Returns the pairs with the sources exchanged; the score is still that of `right_B` over `wrong_B`."""
        aligned_BSS = None if self.aligned_BSS is None else self.aligned_BSS.swapaxes(1, 2)
        return self._replace(source_BS=self.other_BS, other_BS=self.source_BS, aligned_BSS=aligned_BSS)

    def changed(self) -> jax.Array:
        """Returns which tokens of the source differ from one that belongs to them in the other source, bool [B, S]."""
        differ_BSS = self.source_BS[:, :, None] != self.other_BS[:, None]
        aligned_BSS = (
            jnp.eye(self.source_BS.shape[1], dtype=bool)[None] if self.aligned_BSS is None else self.aligned_BSS
        )
        return (differ_BSS & aligned_BSS).any(axis=2)


def score(model: Seq2Seq, batch: ContrastBatch, patches: Sequence[Patch] = ()) -> jax.Array:
    """Returns log P(right) - log P(wrong) of each pair, [B]."""
    return log_odds(model, batch, activations(model, batch.source_BS, batch.input_BT, patches))


def other_activations(model: Seq2Seq, batch: ContrastBatch) -> Activations:
    """Returns the activations of the other sources, those of the encoder at the positions of the first ones.

    Scores and weights, which have two axes of positions, are left as they are.
    """
    traced = activations(model, batch.other_BS, batch.input_BT)
    if batch.aligned_BSS is None:
        return traced
    aligned_BSS = batch.aligned_BSS.astype(jnp.float32)
    mean_BSS = aligned_BSS / jnp.maximum(aligned_BSS.sum(axis=2, keepdims=True), 1)
    own = [name for name in traced if name.startswith("encoder/") and position_axis(name) == 1]
    return traced | {name: jnp.einsum("bso,bo...->bs...", mean_BSS, traced[name]) for name in own}


def log_odds(model: Seq2Seq, batch: ContrastBatch, traced: Activations) -> jax.Array:
    """Returns the score of activations, [B]; only the logits of the compared positions are computed."""
    logits_BV = _compared_logits(model, batch, traced)
    return _select(logits_BV, batch.right_B) - _select(logits_BV, batch.wrong_B)


def log_probability(model: Seq2Seq, batch: ContrastBatch, traced: Activations) -> jax.Array:
    """Returns log P(right) of activations, [B]."""
    return _select(jax.nn.log_softmax(_compared_logits(model, batch, traced)), batch.right_B)


def _compared_logits(model: Seq2Seq, batch: ContrastBatch, traced: Activations) -> jax.Array:
    hidden_B1D = jnp.take_along_axis(traced["decoder/output"], batch.position_B[:, None, None], axis=1)
    return model.logits(hidden_B1D)[:, 0]


def _select(logits_BV: jax.Array, token_B: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits_BV, token_B[:, None], axis=1)[:, 0]


def stream_groups(names: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """Returns the activations that hold all that a position knows of the source, by stack, in the order of the layers.

    Those of a Transformer are the encoder's embeddings and the residual stream after each layer, those of a recurrent
    layer its states. Activations of one group are to be patched jointly.
    """
    names, groups = list(names), dict[str, list[tuple[str, ...]]]()
    for stack in ("encoder", "decoder"):
        own = [name.split("/") for name in names if name.startswith(f"{stack}/")]
        first = "embedding" if [stack, "embedding"] in own else "token_embedding"
        # Decoders read the same prefix, so their embeddings are equal.
        groups[stack] = [(f"{stack}/{first}",)] if stack == "encoder" else []
        layers = sorted({parts[1] for parts in own if len(parts) == 3 and parts[2] in ("residual", "hidden")})
        if layers and not layers[0].isdigit():  # of a bidirectional encoder only the annotations have a position's both
            groups[stack].append((f"{stack}/output",))
            continue
        for layer in sorted(layers, key=int):
            parts = [f"{stack}/{layer}/{part}" for part in ("residual", "hidden", "cell")]
            groups[stack].append(tuple(name for name in parts if name in names))
    return groups


def patch_positions(model: Seq2Seq, batch: ContrastBatch, groups: Sequence[tuple[str, ...]], width: int) -> jax.Array:
    """Returns the scores with each group of activations replaced at each position: [groups, width, B].

    Args:
      model: an NNX module.
      batch: pairs of sources.
      groups: activations by name, those of one group replaced jointly.
      width: number of positions of the activations.
    """
    donor = other_activations(model, batch)

    def patched(site: tuple[jax.Array, jax.Array]) -> jax.Array:
        group, position = site
        where = [jnp.where(group == number, position, _NOWHERE) for number in range(len(groups))]
        patches = [
            [patch(name, donor[name], positions=w) for name in names] for w, names in zip(where, groups, strict=True)
        ]
        return score(model, batch, list(itertools.chain(*patches)))

    group, position = (index.ravel() for index in jnp.mgrid[: len(groups), :width])
    return jax.lax.map(patched, (group, position), batch_size=_MAPPED).reshape(len(groups), width, -1)


def patch_heads(model: Seq2Seq, batch: ContrastBatch, names: Sequence[str], heads: int) -> jax.Array:
    """Returns the scores with the output of each head replaced at all positions: [names, heads, B].

    Args:
      model: an NNX module.
      batch: pairs of sources.
      names: activations with an axis of heads, such as "decoder/0/cross_attention/heads".
      heads: number of heads of each.
    """
    donor = other_activations(model, batch)

    def patched(site: tuple[jax.Array, jax.Array]) -> jax.Array:
        return score(model, batch, _at_heads(names, donor, site))

    name, head = (index.ravel() for index in jnp.mgrid[: len(names), :heads])
    return jax.lax.map(patched, (name, head), batch_size=_MAPPED).reshape(len(names), heads, -1)


def patch_paths(model: Seq2Seq, batch: ContrastBatch, names: Sequence[str], heads: int) -> jax.Array:
    """Returns the scores with the path from each head to each later head replaced, and to the logits.

    The output of the sending head is that of the other source, those of all other heads stay as they are; what the
    receiving head's query, key and value become is put into an otherwise unchanged run. Feed-forward networks between
    them belong to the path.

    Args:
      model: an NNX module.
      batch: pairs of sources.
      names: attentions, such as "decoder/0/cross_attention".
      heads: number of heads of each.

    Returns:
      [senders, receivers + 1, B], the heads in the order of the names. Scores are unchanged where there is no path. The
      last receiver stands for the logits.
    """
    own, donor = activations(model, batch.source_BS, batch.input_BT), other_activations(model, batch)
    outputs = [f"{name}/heads" for name in names]
    inputs = [[f"{name}/{part}" for name in names] for part in ("query", "key", "value")]
    frozen = [patch(name, own[name]) for name in outputs]
    name, head = (index.ravel() for index in jnp.mgrid[: len(names), :heads])
    chunks = -(-len(name) // _MAPPED)
    unpatched = jnp.broadcast_to(log_odds(model, batch, own)[None], (chunks * _MAPPED, len(batch.source_BS)))

    def from_sender(sender: tuple[jax.Array, jax.Array]) -> jax.Array:
        sent = activations(model, batch.source_BS, batch.input_BT, [*frozen, *_at_heads(outputs, donor, sender)])

        def to_receiver(receiver: jax.Array) -> jax.Array:
            site = (receiver // heads, receiver % heads)
            return score(model, batch, [item for part in inputs for item in _at_heads(part, sent, site)])

        def to_chunk(chunk: jax.Array, scores: jax.Array) -> jax.Array:
            new = jax.vmap(to_receiver)(chunk * _MAPPED + jnp.arange(_MAPPED))
            return jax.lax.dynamic_update_slice_in_dim(scores, new, chunk * _MAPPED, axis=0)

        later = (sender[0] + 1) * heads // _MAPPED  # the first chunk with a later attention: others have no path
        scores = jax.lax.fori_loop(later, chunks, to_chunk, unpatched)[: len(name)]
        return jnp.concatenate([scores, log_odds(model, batch, sent)[None]])

    return jax.lax.map(from_sender, (name, head))


def _at_heads(names: Sequence[str], values: Activations, site: tuple[jax.Array, jax.Array]) -> list[Patch]:
    """Returns patches of all activations, of which only that of the site, (index of the name, head), has an effect."""
    index, head = site
    where = [jnp.where(index == number, head, _NOWHERE) for number in range(len(names))]
    return [patch(name, values[name], heads=chosen) for name, chosen in zip(names, where, strict=True)]


def ablate_heads(model: Seq2Seq, batch: ContrastBatch, means: Activations, sets: jax.Array) -> jax.Array:
    """Returns the scores without sets of heads, whose outputs are replaced by their means: [sets, B].

    Args:
      model: an NNX module.
      batch: pairs of sources.
      means: from `tracing.mean_activations`, of activations with an axis of heads.
      sets: bool [sets, names, heads], the heads of each set, with names in the order of `means`.
    """

    def ablated(chosen: jax.Array) -> jax.Array:
        where = jnp.where(chosen, jnp.arange(chosen.shape[1])[None], _NOWHERE)
        return score(model, batch, [patch(name, means[name], heads=w) for name, w in zip(means, where, strict=True)])

    return jax.lax.map(ablated, sets, batch_size=_MAPPED)


def ablate_positions(model: Seq2Seq, batch: ContrastBatch, means: Activations, sets: int) -> jax.Array:
    """Returns the scores without the changed words, then without as many random other tokens: [1 + sets, B].

    Args:
      model: an NNX module.
      batch: pairs of sources.
      means: activations of the encoder by name, with one sentence and one position, which replace those of the tokens.
      sets: number of random choices for each pair.
    """
    changed_BS, token_BS = batch.changed(), is_token(batch.source_BS)
    count_B = changed_BS.sum(axis=1, keepdims=True)

    def ablated(number: jax.Array) -> jax.Array:
        draw_BS = jax.random.uniform(jax.random.fold_in(jax.random.key(0), number), changed_BS.shape)
        rank_BS = jnp.argsort(jnp.argsort(jnp.where(token_BS & ~changed_BS, draw_BS, 2), axis=1), axis=1)
        chosen_BS = jnp.where(number == 0, changed_BS, rank_BS < count_B)
        patches = [
            patch(name, lambda old, mean=mean: jnp.where(chosen_BS[:, :, None], mean, old))
            for name, mean in means.items()
        ]
        return score(model, batch, patches)

    return jax.lax.map(ablated, jnp.arange(1 + sets), batch_size=_MAPPED)
