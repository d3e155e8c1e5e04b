"""Builds attention from a `ModelSpec`: maps names of scores, weights and kernels to objects."""

import functools
import math
from collections.abc import Callable
from typing import TypeVar

from flax import nnx

from transformer.layers.attention import Attention
from transformer.layers.fused_attention import CUDNN, SPLASH, FusedAttention, FusedKernel
from transformer.layers.positions import DistanceScore
from transformer.layers.scores import AdditiveScore, CosineScore, DotScore, LearnedScaleDotScore, Score, TopKWeights
from transformer.ops import attention_cudnn
from transformer.ops.attention import WeightsFn, sigmoid, softmax, uniform
from transformer.section import did_you_mean
from transformer.spec import ModelSpec

Value = TypeVar("Value")


def choose(key: str, name: str, choices: dict[str, Value], more: str = "") -> Value:
    """Returns `choices[name]`; an unknown name raises a ValueError with the config's `key` and its choices."""
    if name not in choices:
        listed = ", ".join([*choices, *([more] if more else [])])
        raise ValueError(f"{key}: {name!r} is none of {listed}{did_you_mean(name, choices)}")
    return choices[name]


def _weights_fn(spec: ModelSpec) -> WeightsFn:
    choices = {"softmax": softmax, "sigmoid": sigmoid, "uniform": uniform, "top_k": TopKWeights(spec.top_k)}
    return choose("model.weights", spec.weights, choices)


def _dot(spec: ModelSpec, rngs: nnx.Rngs) -> Score:
    del rngs
    default = 1 / math.sqrt(spec.key_size)
    choices = {
        "sqrt_d_k": DotScore(default),
        "none": DotScore(1.0),
        "learned": LearnedScaleDotScore(spec.heads, default),
    }
    try:
        return DotScore(1 / float(spec.score_scale))
    except ValueError:
        return choose("model.score_scale", spec.score_scale, choices, "or a number")
    except ZeroDivisionError:
        raise ValueError("model.score_scale: 0 cannot divide scores; set another number, or none") from None


SCORES: dict[str, Callable[[ModelSpec, nnx.Rngs], Score]] = {  # by model.score and model.cross_score
    "dot": _dot,
    "additive": lambda spec, rngs: AdditiveScore(spec.heads, spec.key_size, rngs=rngs),
    "cosine": lambda spec, rngs: CosineScore(spec.heads, spec.key_size),
}


def make_attention(
    spec: ModelSpec,
    rngs: nnx.Rngs,
    *,
    cross: bool = False,
    causal: bool = False,
    distance_score: Callable[[ModelSpec, Score, nnx.Rngs], DistanceScore] | None = None,
) -> Attention:
    """Makes the scores and weights of a multi-head attention.

    Args:
      spec: settings of the model.
      rngs: initial parameters.
      cross: whether it is cross-attention, whose score may differ.
      causal: whether its square mask for all sentences is causal.
      distance_score: makes what is added to the scores of self-attention.

    Raises:
      ValueError: an unknown name, or a kernel that does not compute these scores and weights.
    """
    make = choose("model.attention_kernel", spec.attention_kernel, KERNELS)
    overridden = cross and spec.cross_score is not None
    key, name = ("model.cross_score", spec.cross_attention_score) if overridden else ("model.score", spec.score)
    scores = choose(key, name, SCORES)(spec, rngs)
    return make(spec, scores, causal, distance_score and distance_score(spec, scores, rngs))


def _xla(spec: ModelSpec, scores: Score, causal: bool, distance_score: DistanceScore | None) -> Attention:
    del causal
    return Attention(scores, _weights_fn(spec), distance_score)


def _cudnn(spec: ModelSpec, scores: Score, causal: bool, distance_score: DistanceScore | None) -> Attention:
    """Makes attention with the cuDNN kernel; rejects settings that the kernel supports on no device."""
    setting, widths = "model.attention_kernel=cudnn", (spec.key_size, spec.value_size)
    if spec.dtype != "bfloat16":
        raise ValueError(
            f"{setting} multiplies 16 bits, not {spec.dtype}; set model.dtype=bfloat16 or the kernel to xla"
        )
    multiple, largest = attention_cudnn.HEAD_SIZE_MULTIPLE, attention_cudnn.MAX_HEAD_SIZE
    if widths[0] != widths[1] or widths[0] % multiple or widths[0] > largest:
        raise ValueError(
            f"{setting} has heads of equal key and value widths, multiples of {multiple} up to {largest}, not "
            f"{widths[0]} and {widths[1]}; change model.heads, model.d_k or model.d_v, or set the kernel to xla"
        )
    return _fused(spec, scores, causal, distance_score, CUDNN)


def _fused(
    spec: ModelSpec, scores: Score, causal: bool, distance_score: DistanceScore | None, kernel: FusedKernel
) -> Attention:
    """Makes attention with a fused kernel, which computes Eq. 1 and nothing else."""
    setting = f"model.attention_kernel={spec.attention_kernel}"
    if distance_score is not None:
        names = " and ".join(name for name in (spec.positions, spec.decoder_positions) if name)
        raise ValueError(
            f"{setting} adds nothing to scores and so has no model.positions={names}; set sinusoid, learned, rotary or "
            "none, or the kernel to xla"
        )
    for name, default in (("weights", "softmax"), ("dropout_attention", 0.0)):
        if (value := getattr(spec, name)) != default:
            raise ValueError(f"{setting} has no model.{name}={value}; set it to {default}, or the kernel to xla")
    if not isinstance(scores, DotScore):
        raise ValueError(
            f"{setting} has dot products times a number as scores, not {scores.formula} ({scores.name}); set "
            "model.score=dot, model.cross_score=None and a fixed model.score_scale, or the kernel to xla"
        )
    return FusedAttention(scores, causal, kernel)


# By model.attention_kernel.
KERNELS: dict[str, Callable[[ModelSpec, Score, bool, DistanceScore | None], Attention]] = {
    "xla": _xla,
    "splash": functools.partial(_fused, kernel=SPLASH),
    "cudnn": _cudnn,
}
