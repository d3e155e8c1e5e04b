"""One of several processes that train the smallest model there is: FOLDER MODE. Writes FOLDER/NUMBER.json."""

import json
import pathlib
import sys
from typing import Any, cast

import jax
import numpy as np

from experiments.runtime import distributed
from tests.training.bag import Bag, bag_params
from tests.training.test_parallel import NUMBERS, SPEC, STEPS, VOCABULARY, batch, fresh_state
from transformer.data.batches.bucket_shapes import Shape
from transformer.data.batches.loader import HostBatches
from transformer.data.token_dataset import Batch
from transformer.training import step as steps
from transformer.training.checkpoint import Checkpoints
from transformer.training.parallel import PLACEMENTS
from transformer.training.state import Model


class Plan:
    """Batches of which some rows are asked for; what was not asked for is not there."""

    def shape(self, k: int) -> Shape:
        return Shape(6, 5, 5)

    def batch(self, k: int, rows: slice) -> Batch:
        return Batch(*(side[rows] for side in batch(k)))


def main(path: str, mode: str) -> None:
    distributed.join("auto")
    folder, placement = pathlib.Path(path), PLACEMENTS[mode]()
    step = placement.compile_step(cast(Model, Bag), SPEC.train)
    state, numbers = (placement.distribute(tree) for tree in (fresh_state(bag_params(VOCABULARY)), NUMBERS))
    plan = HostBatches(cast(Any, Plan()), *placement.share, placement.devices)
    losses = []
    for number in range(STEPS):
        state, sums = step(state, *map(placement.shard_part, plan.batch(number)), numbers)
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
    ended = placement.host(state)
    with distributed.leader_first():
        if distributed.leader():
            (folder / "made first").touch()
        seen = (folder / "made first").exists()
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(STEPS, ended)
    checkpoints.wait()
    kept = checkpoints.restore(STEPS, jax.eval_shape(lambda: fresh_state(bag_params(VOCABULARY))))
    checkpoints.close()

    def sums_of(params: Any, source_BS: jax.Array, target_BT: jax.Array) -> Any:
        return steps.loss_sums(cast(Model, Bag), params, source_BS, target_BT, 0.0, None)

    params, (source_BS, target_BT) = placement.place(kept.params), map(placement.shard, batch(5))
    evaluated = placement.compile_rows(sums_of, summed=True)(params, source_BS, target_BT)
    rows = placement.compile_rows(lambda params, source_BS: source_BS)(params, source_BS)
    found = {
        "losses": losses,
        "share": placement.share,
        "devices": len(jax.devices()),
        "leader": distributed.leader(),
        "seen": seen,
        "evaluated": [float(each) for each in evaluated],
        "rows": np.asarray(rows)[:6].tolist(),
    }
    (folder / f"{jax.process_index()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
