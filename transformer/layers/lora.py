"""Low-rank adaptation of linear layers (LoRA); Hu et al. 2021, Section 4.1."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util

from transformer.layers.linear import LinearWithoutBias
from transformer.section import nearest

_FACTORS = ("lora_a", "lora_b")  # Flax's names of A and B; x A B is added to x W
_BASE = ".base_module"  # in the name of a parameter of an adapted layer


def adapt(model: nnx.Module, rank: int, targets: Sequence[str], *, rngs: nnx.Rngs) -> None:
    """Adds x A B to the output of linear layers of a model. B starts at zero, so that the output does not change.

    The paper's factor α / rank is 1: with Adam, another one has about the effect of another learning rate.

    Args:
      model: the model, which is changed.
      rank: width of A and height of B.
      targets: glob patterns for the names of the layers, such as "encoder.*.to_query".
      rngs: initial A.

    Raises:
      ValueError: a pattern matches no linear layer.
    """
    layers = {
        ".".join(map(str, path)): (path, module)
        for path, module in nnx.iter_modules(model, graph=True)
        if isinstance(module, LinearWithoutBias)
    }
    require_matches("model.lora_targets", targets, layers)
    for name, (path, layer) in layers.items():
        if any(fnmatch.fnmatchcase(name, target) for target in targets):
            sizes = (layer.kernel.shape[0], rank, layer.out_features)
            adapted = nnx.LoRA(*sizes, base_module=layer, dtype=layer.dtype, rngs=rngs)
            parent: Any = model
            for part in path[:-1]:
                parent = parent[part] if isinstance(part, int) else getattr(parent, str(part))
            setattr(parent, str(path[-1]), adapted)


def is_factor(name: str) -> bool:
    """Whether a parameter, named by its path with dots, is A or B of an adapted layer."""
    return name.endswith(_FACTORS)


def base_name(name: str) -> str:
    """Returns the name of a parameter in the model without LoRA."""
    return name.replace(_BASE, "")


def merge(params: Mapping[str, Any]) -> dict[str, Any]:
    """Converts parameters, a nested dict, to those of the equal model without LoRA: W + A B instead of W, A and B."""
    flat = _flatten(params)
    merged = {base_name(name): array for name, array in flat.items() if not is_factor(name)}
    for name, factor_DR in flat.items():
        if name.endswith(_FACTORS[0]):
            layer = name.removesuffix(_FACTORS[0])
            product_DF = jnp.matmul(factor_DR, flat[layer + _FACTORS[1]], precision=jax.lax.Precision.HIGHEST)
            merged[f"{layer}kernel"] = merged[f"{layer}kernel"] + product_DF
    return traverse_util.unflatten_dict(merged, sep=".")


def expand(params: Mapping[str, Any], adapted: Mapping[str, Any]) -> dict[str, Any]:
    """Converts parameters of a model without LoRA, a nested dict, to those of an adapted model, with its A and B."""
    flat, like = map(_flatten, (params, adapted))
    expanded = {name: array if is_factor(name) else flat[base_name(name)] for name, array in like.items()}
    return traverse_util.unflatten_dict(expanded, sep=".")


def _flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    return cast(dict[str, Any], traverse_util.flatten_dict(dict(params), sep="."))


def require_matches(key: str, patterns: Sequence[str], names: Mapping[str, Any] | Sequence[str]) -> None:
    """Raises a ValueError about the setting `key`, with similar names, for a pattern that matches none of `names`."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            general = dict.fromkeys(re.sub(r"\b\d+\b", "*", name) for name in names)  # the same in every layer
            near = nearest(pattern, general, count=3, cutoff=0.0)
            raise ValueError(f"{key}: {pattern!r} matches none of {len(names)} names, such as {', '.join(near)}")
