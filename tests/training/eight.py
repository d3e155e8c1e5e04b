"""Trains or searches on eight simulated devices. Arguments: FILE train|find MODEL DATA.FSDP.TENSOR ...

Writes the results of each partitioner to FILE. "pmap" and "one" are also valid partitioners. MODEL is an argument of
`spec_of`.
"""

import pickle
import sys
from typing import Any

import jax
import numpy as np

from configs import base
from transformer.decoding.search import search
from transformer.models.build import abstract_model
from transformer.spec import PAD, Spec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import MeshPartitioner, PmapPartitioner

VOCABULARY, STEPS = 16, 3


def spec_of(name: str) -> Spec:
    """Returns the settings of ARCHITECTURE, ARCHITECTURE:DTYPE or ARCHITECTURE:DTYPE:FORM.

    FORM is lora, or, with two layers instead of one, list or scan.
    """
    architecture, dtype, form, *_ = [*name.split(":"), "", ""]
    config = base.get_config().to_dict()
    config["model"] |= {"architecture": architecture, "d_model": 8, "d_ff": 12, "heads": 4}
    config["model"] |= {"dtype": dtype or "float32", "scan_layers": form == "scan"}
    if form == "lora":
        config["model"] |= {"lora_rank": 2, "lora_targets": "*"}
        config["train"] |= {"freeze": "!*.bias"}
    layers = 2 if form in ("list", "scan") else 1  # XLA removes a loop over one layer
    config["model"] |= {"encoder_layers": layers, "decoder_layers": layers}
    config["model"] |= {"dropout_sublayer": 0.2, "dropout_embedding": 0.1}
    if architecture != "transformer":
        config["model"] |= {"heads": 1, "scale_embeddings": False}
        config["model"] |= {"cross_score": "additive", "cell": "gru"} if architecture == "rnnsearch" else {}
    config["train"] |= {"warmup_steps": 2, "learning_rate": 0.01, "adam_epsilon": 1e-3, "ema_decay": 0.5}
    config["train"] |= {"loss_chunk": 30}
    config["decode"] |= {"beam_size": 3, "max_extra_length": 2}
    return Spec.from_config(config)


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(number)
    lengths = generator.integers(1, 8, (2, 11, 1))  # eleven rows: the last devices have padding rows
    tokens = generator.integers(4, VOCABULARY, (2, 11, 7))
    source_BS, target_BT = np.where(np.arange(7) < lengths, tokens, PAD).astype(np.int32)
    return source_BS, target_BT


def make_partitioner(way: str) -> MeshPartitioner:
    if way == "one":
        return MeshPartitioner(jax.devices()[:1])
    if way == "pmap":
        return PmapPartitioner()
    data, fsdp, tensor = map(int, way.split("."))
    partitioner = MeshPartitioner(fsdp=fsdp, tensor=tensor)
    assert tuple(partitioner.mesh.shape.values()) == (data, fsdp, tensor)
    return partitioner


def random_model(spec: Spec, partitioner: MeshPartitioner) -> tuple[states.ModelDef, Any]:
    """Returns a model and its parameters, which do not depend on `model.scan_layers`."""
    model, _ = states.split(abstract_model(spec.model, VOCABULARY, on_params=partitioner.gather_params))
    _, shapes = states.split(abstract_model(spec.model.unrolled, VOCABULARY))
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32) / 2, shapes)
    return model, states.stack_layers(params, np.stack) if spec.model.scan_layers else params


def train(spec: Spec, way: str) -> dict[str, Any]:
    partitioner = make_partitioner(way)
    model, params = random_model(spec, partitioner)
    hyperparams = steps.hyperparams(spec.train, spec.model)
    state = partitioner.put_state(
        steps.initial_state(params, spec.train, hyperparams, jax.random.key_data(jax.random.key(7)))
    )
    hyperparams = partitioner.put_state(hyperparams)
    source_BS, target_BT = map(partitioner.shard, batch(0))
    shape = (source_BS.shape[0], source_BS.shape[1], target_BT.shape[1])
    step = partitioner.compile_step_aot(model, spec.train, state, hyperparams, [shape])
    losses, first = [], None
    for number in range(STEPS):
        state, sums = step(state, *map(partitioner.shard, batch(number)), hyperparams)
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
        # Adam's first moment after one step is a tenth of the gradient.
        first = first or jax.tree.map(np.asarray, partitioner.unreplicate(state).optimizer)
    local_bytes = [shard.data.nbytes for leaf in jax.tree.leaves(state.params) for shard in leaf.addressable_shards[:1]]
    final = partitioner.unreplicate(state)
    return {
        "losses": np.array(losses),
        "first": states.unstack_layers(first),
        "params": states.unstack_layers(jax.tree.map(np.asarray, final.params)),
        "held": sum(local_bytes),
    }


def find(spec: Spec, way: str) -> dict[str, Any]:
    """Runs a beam search with random parameters."""
    partitioner = make_partitioner(way)
    model, params = random_model(spec, partitioner)
    search_rows = partitioner.compile_eval(lambda params, source_BS: search(model(params), source_BS, spec.decode))
    results = search_rows(partitioner.put_params(params), partitioner.shard(batch(5)[0]))
    return {"tokens": np.asarray(results.tokens_BNT)[:11], "scores": np.asarray(results.scores_BN)[:11]}


def main(path: str, what: str, architecture: str, *ways: str) -> None:
    assert len(jax.devices()) == 8
    do, spec = {"train": train, "find": find}[what], spec_of(architecture)
    results = {way: do(spec, way) for way in ways}
    with open(path, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
