"""One of several processes that train a minimal model. Arguments: FOLDER MODE. Writes FOLDER/NUMBER.json."""

import json
import pathlib
import sys
from typing import Any, cast

import jax
import numpy as np

from experiments.runtime import distributed
from tests.training.bag import Bag, bag_params
from tests.training.test_parallel import HYPERPARAMS, SPEC, STEPS, VOCABULARY, batch, fresh_state
from transformer.data.batches.bucket_shapes import BatchShape
from transformer.data.batches.loader import HostBatches
from transformer.data.token_dataset import Batch
from transformer.training import step as steps
from transformer.training.checkpoint import Checkpoints
from transformer.training.parallel import PARTITIONERS
from transformer.training.state import ModelDef


class Plan:
    """A batch plan that returns only the requested rows."""

    def shape(self, k: int) -> BatchShape:
        return BatchShape(6, 5, 5)

    def batch(self, k: int, rows: slice) -> Batch:
        return Batch(*(side[rows] for side in batch(k)))


def main(path: str, mode: str) -> None:
    distributed.initialize("auto")
    folder, partitioner = pathlib.Path(path), PARTITIONERS[mode]()
    step = partitioner.compile_step(cast(ModelDef, Bag), SPEC.train)
    state, hyperparams = (partitioner.put_state(tree) for tree in (fresh_state(bag_params(VOCABULARY)), HYPERPARAMS))
    plan = HostBatches(cast(Any, Plan()), *partitioner.local_parts, partitioner.batch_parts)
    losses = []
    for number in range(STEPS):
        state, sums = step(state, *map(partitioner.shard_local, plan.batch(number)), hyperparams)
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
    final = partitioner.unreplicate(state)
    with distributed.primary_first():
        if distributed.is_primary():
            (folder / "made first").touch()
        primary_was_first = (folder / "made first").exists()
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(STEPS, final)
    checkpoints.wait()
    restored = checkpoints.restore(STEPS, jax.eval_shape(lambda: fresh_state(bag_params(VOCABULARY))))
    checkpoints.close()

    def sums_of(params: Any, source_BS: jax.Array, target_BT: jax.Array) -> Any:
        return steps.loss_sums(cast(ModelDef, Bag), params, source_BS, target_BT, 0.0, None)

    params, (source_BS, target_BT) = partitioner.put_params(restored.params), map(partitioner.shard, batch(5))
    evaluated = partitioner.compile_eval(sums_of, summed=True)(params, source_BS, target_BT)
    rows = partitioner.compile_eval(lambda params, source_BS: source_BS)(params, source_BS)
    result = {
        "losses": losses,
        "share": partitioner.local_parts,
        "devices": len(jax.devices()),
        "leader": distributed.is_primary(),
        "seen": primary_was_first,
        "evaluated": [float(value) for value in evaluated],
        "rows": np.asarray(rows)[:6].tolist(),
    }
    (folder / f"{jax.process_index()}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
