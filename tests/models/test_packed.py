"""Sentences in packed rows have the losses and gradients of sentences in separate rows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.models.build import abstract_model, build
from transformer.spec import EOS, PAD
from transformer.training.state import split
from transformer.training.step import loss_sums

VOCABULARY = 23
SENTENCES = [([5, 9, 7], [8, 4]), ([6], [7, 7, 9]), ([11, 4], [5]), ([4, 5, 6, 7], [9, 8, 7, 6, 5])]
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def rows_of(groups: list[list[int]], width: int) -> list[jax.Array]:
    """Returns source and target rows, one per group of sentences."""
    sides = []
    for side in (0, 1):
        rows = np.full((len(groups), width), PAD, np.int32)
        for row, group in zip(rows, groups, strict=True):
            tokens = [token for number in group for token in (*SENTENCES[number][side], EOS)]
            row[: len(tokens)] = tokens
        sides.append(jnp.asarray(rows))
    return sides


PACKED = rows_of([[0, 1], [3, 2]], 11)
SEPARATE = rows_of([[0], [1], [2], [3]], 7)


def gradients(spec: Any, packed: bool, rows: list[jax.Array]) -> Any:
    """Returns the gradient of the loss and the loss sums, for random parameters."""
    model, shapes = split(abstract_model(spec, VOCABULARY, packed=packed))
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
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"positions": "learned", "max_positions": 11},
                {"positions": "rotary", "d_k": 6, "norm": "pre"},
                {"positions": "none", "causal_mask": False},
                {"positions": "alibi", "decoder_positions": "relative"},
            )
        ),
    ],
    ids=str,
)
def test_sentences_of_a_row_are_independent(make_spec: Any, changes: dict[str, Any]) -> None:
    spec = make_spec(dropout_embedding=0.0, **changes)
    separate = gradients(spec, False, SEPARATE)
    same(gradients(spec, True, PACKED), separate)
    same(gradients(spec, True, SEPARATE), separate)  # a packed model also reads rows of one sentence


@pytest.mark.slow
def test_without_packed_a_row_is_one_sentence(make_spec: Any) -> None:
    (_, packed_sums), (_, plain_sums) = (gradients(make_spec(), packed, PACKED) for packed in (True, False))
    assert abs(float(packed_sums.loss) - float(plain_sums.loss)) > 0.1


def test_recurrent_models_reject_packed_rows(architecture_spec: Any) -> None:
    with pytest.raises(ValueError, match="rnnsearch model reads each row as one sentence"):
        build(architecture_spec("rnnsearch"), VOCABULARY, jax.random.key(0), packed=True)
