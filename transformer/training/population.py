"""Several runs trained as one: what differs among them are numbers that the compiled step takes as arguments.

One program then makes a step of all of them, `jax.vmap` over states, numbers and batches. A member learns what it would
learn alone, but for rounding; its state can be taken out at any time.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from transformer.spec import Spec
from transformer.training import step as steps
from transformer.training.step import Numbers


def numbers(specs: Sequence[Spec]) -> Numbers:
    """`training.step.numbers` of each spec, stacked. A kind of dropout that one member has, all have, if at rate 0."""
    each = [steps.numbers(spec.train, spec.model) for spec in specs]
    places = dict.fromkeys(place for one in each for place in one["dropout"])
    whole = [{**one, "dropout": {place: one["dropout"].get(place, np.float32(0)) for place in places}} for one in each]
    return stack(whole)


def stack(trees: Sequence[Any]) -> Any:
    """One tree of several alike, their leaves stacked along a new first axis; on the host, for no device holds all."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


@jax.jit
def member(tree: Any, number: jax.Array | int) -> Any:
    """The tree of one of those that were stacked."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, number, keepdims=False), tree)


def shapes(one: Any, count: int) -> Any:
    """Shapes of `count` stacked trees like `one`."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), one)
