"""Sentences that share a row learn as if each had one of its own."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.models.build import build
from transformer.spec import EOS, PAD
from transformer.training.state import split
from transformer.training.step import loss_sums

VOCABULARY = 23
SENTENCES = [([5, 9, 7], [8, 4]), ([6], [7, 7, 9]), ([11, 4], [5]), ([4, 5, 6, 7], [9, 8, 7, 6, 5])]
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def rows_of(groups: list[list[int]], width: int) -> list[jax.Array]:
    """Source and target rows, each of the sentences of a group."""
    sides = []
    for side in (0, 1):
        rows = np.full((len(groups), width), PAD, np.int32)
        for row, group in zip(rows, groups, strict=True):
            tokens = [token for number in group for token in (*SENTENCES[number][side], EOS)]
            row[: len(tokens)] = tokens
        sides.append(jnp.asarray(rows))
    return sides


TOGETHER = rows_of([[0, 1], [3, 2]], 11)
ALONE = rows_of([[0], [1], [2], [3]], 7)


def gradients(spec: Any, packed: bool, rows: list[jax.Array]) -> Any:
    """Loss sums, and the gradient of the loss, of drawn parameters."""
    model, shapes = split(nnx.eval_shape(lambda: build(spec, VOCABULARY, jax.random.key(0), packed=packed)))
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)

    def loss(params: Any, source_BS: jax.Array, target_BT: jax.Array) -> Any:
        sums = loss_sums(model, params, source_BS, target_BT, 0.1, 3)
        return sums.loss, sums

    return compiled(jax.grad(loss, has_aux=True))(params, *rows)


def same(one: Any, other: Any) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "learned", "max_positions": 11},
        {"positions": "rotary", "d_k": 6, "norm": "pre"},
        {"positions": "none", "causal_mask": False},
    ],
    ids=str,
)
def test_sentences_of_a_row_do_not_know_of_each_other(make_spec: Any, changes: dict[str, Any]) -> None:
    spec = make_spec(dropout_embedding=0.0, **changes)
    alone = gradients(spec, False, ALONE)
    same(gradients(spec, True, TOGETHER), alone)
    same(gradients(spec, True, ALONE), alone)  # a model for such rows does no harm to others


def test_without_being_told_a_model_reads_a_row_as_one_sentence(make_spec: Any) -> None:
    (_, told), (_, untold) = (gradients(make_spec(), packed, TOGETHER) for packed in (True, False))
    assert abs(float(told.loss) - float(untold.loss)) > 0.1


def test_a_recurrent_model_is_refused(architecture_spec: Any) -> None:
    with pytest.raises(ValueError, match="a rnnsearch model would read each as one"):
        build(architecture_spec("rnnsearch"), VOCABULARY, jax.random.key(0), packed=True)
