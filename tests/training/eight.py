"""Trains and searches on eight simulated devices. Arguments: FILE train|find ARCHITECTURE[:DTYPE] DATA.FSDP.TENSOR ...

Writes to FILE, under each way, what came of it. "pmap" and "one" are ways too.
"""

import pickle
import sys
from typing import Any

import jax
import numpy as np
from flax import nnx

from configs import base
from transformer.decoding.search import search
from transformer.models.build import build
from transformer.spec import PAD, Spec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import MeshPlacement, PmapPlacement

VOCABULARY, STEPS = 16, 3


def spec_of(name: str) -> Spec:
    """The settings of an architecture, or of ARCHITECTURE:DTYPE."""
    architecture, _, dtype = name.partition(":")
    config = base.get_config().to_dict()
    config["model"] |= {"architecture": architecture, "d_model": 8, "d_ff": 12, "heads": 4}
    config["model"] |= {"dtype": dtype or "float32"}
    config["model"] |= {"encoder_layers": 1, "decoder_layers": 1, "dropout_sublayer": 0.2, "dropout_embedding": 0.1}
    if architecture != "transformer":
        config["model"] |= {"heads": 1, "scale_embeddings": False}
        config["model"] |= {"cross_score": "additive", "cell": "gru"} if architecture == "rnnsearch" else {}
    config["train"] |= {"warmup_steps": 2, "learning_rate": 0.01, "adam_epsilon": 1e-3, "ema_decay": 0.5}
    config["train"] |= {"loss_chunk": 30}
    config["decode"] |= {"beam_size": 3, "max_extra_length": 2}
    return Spec.from_config(config)


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(number)
    lengths = generator.integers(1, 8, (2, 11, 1))  # eleven rows: the last devices have rows that fill up
    tokens = generator.integers(4, VOCABULARY, (2, 11, 7))
    source_BS, target_BT = np.where(np.arange(7) < lengths, tokens, PAD).astype(np.int32)
    return source_BS, target_BT


def placed(way: str) -> MeshPlacement:
    if way == "one":
        return MeshPlacement(jax.devices()[:1])
    if way == "pmap":
        return PmapPlacement()
    data, fsdp, tensor = map(int, way.split("."))
    found = MeshPlacement(fsdp=fsdp, tensor=tensor)
    assert tuple(found.mesh.shape.values()) == (data, fsdp, tensor)
    return found


def drawn(spec: Spec) -> tuple[states.Model, Any]:
    model, shapes = states.split(nnx.eval_shape(lambda: build(spec.model, VOCABULARY, jax.random.key(0))))
    generator = np.random.default_rng(0)
    return model, jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32) / 2, shapes)


def train(spec: Spec, way: str) -> dict[str, Any]:
    placement = placed(way)
    model, params = drawn(spec)
    numbers = steps.numbers(spec.train, spec.model)
    state = placement.distribute(
        steps.initial_state(params, spec.train, numbers, jax.random.key_data(jax.random.key(7)))
    )
    numbers = placement.distribute(numbers)
    source_BS, target_BT = map(placement.shard, batch(0))
    shape = (source_BS.shape[0], source_BS.shape[1], target_BT.shape[1])
    step = placement.compile_shapes(model, spec.train, state, numbers, [shape])
    losses, first = [], None
    for number in range(STEPS):
        state, sums = step(state, *map(placement.shard, batch(number)), numbers)
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
        # Adam's first moment after one step is a tenth of the gradient.
        first = first or jax.tree.map(np.asarray, placement.host(state).optimizer)
    held = [shard.data.nbytes for leaf in jax.tree.leaves(state.params) for shard in leaf.addressable_shards[:1]]
    ended = placement.host(state)
    return {
        "losses": np.array(losses),
        "first": first,
        "params": jax.tree.map(np.asarray, ended.params),
        "held": sum(held),
    }


def find(spec: Spec, way: str) -> dict[str, Any]:
    """What a beam search makes of random parameters."""
    placement = placed(way)
    model, params = drawn(spec)
    search_rows = placement.compile_rows(lambda params, source_BS: search(model(params), source_BS, spec.decode))
    found = search_rows(placement.place(params), placement.shard(batch(5)[0]))
    return {"tokens": np.asarray(found.tokens_BNT)[:11], "scores": np.asarray(found.scores_BN)[:11]}


def main(path: str, what: str, architecture: str, *ways: str) -> None:
    assert len(jax.devices()) == 8
    do, spec = {"train": train, "find": find}[what], spec_of(architecture)
    found = {way: do(spec, way) for way in ways}
    with open(path, "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
