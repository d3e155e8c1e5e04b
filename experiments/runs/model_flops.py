"""The floating-point operations of a model in training, and the share of the devices' peak that they use."""

import concurrent.futures
import dataclasses

import jax

from experiments.runs.system import System
from experiments.runtime.peak_flops import peak_flops
from transformer.data.batches.plan import BatchPlan
from transformer.ops.dropout import Dropout
from transformer.ops.flops import matmul_flops
from transformer.training import freezing
from transformer.training import step as steps
from transformer.training.state import Params


def batch_flops(system: System, shape: tuple[int, int, int]) -> int:
    """Returns the matmul FLOPs of the loss and its gradient for a batch: three times those of the loss.

    The gradient of a matmul is two matmuls of its size; frozen parameters, which save one of them, count in full. What
    a program computes a second time, to save memory, is not counted, and neither is the optimizer: Appendix B of
    Chowdhery et al. 2022 (PaLM).

    Args:
      system: the model.
      shape: rows, source width and target width of the batch.
    """
    if system.spec.model.attention_kernel != "xla":  # the matmuls inside a kernel are not visible
        model = dataclasses.replace(system.spec.model, attention_kernel="xla")
        spec = dataclasses.replace(system.spec, model=model)
        system = System.make(spec, system.tokenizer, partitioner=system.partitioner)
    rows, source, target = shape
    batch = [jax.ShapeDtypeStruct((rows, width), "int32") for width in (source, target)]
    hyperparams, train = system.hyperparams, system.spec.train

    def loss(params: Params, source_BS: jax.Array, target_BT: jax.Array) -> jax.Array:
        dropout = Dropout.from_key(jax.random.key(0), hyperparams["dropout"])
        return steps.training_sums(system.model, train, params, source_BS, target_BT, hyperparams, dropout).loss

    return 3 * matmul_flops(loss, system.param_shapes, *batch)


class ModelFlops:
    """The model FLOPs of a plan's batches. They are counted on a thread, each shape once.

    Args:
      system: the model.
      plan: the batches, or those of a run with another seed.
    """

    def __init__(self, system: System, plan: BatchPlan) -> None:
        self._system, self._plan = system, plan
        self._counts: dict[tuple[int, int, int], concurrent.futures.Future[int]] = {}
        self._frozen = bool(freezing.partition(system.param_shapes, system.spec.train)[1])
        device, spec = system.partitioner.mesh.devices.flat[0], system.spec.model
        peak = peak_flops(device.device_kind, spec.dtype, spec.matmul_precision)
        self._peak = peak and peak * system.partitioner.mesh.devices.size

    def start(self) -> None:
        """Starts to count, so that `mean` and `rates` need not wait."""
        if not self._counts:
            pool = concurrent.futures.ThreadPoolExecutor(1)
            self._counts = {shape: pool.submit(batch_flops, self._system, shape) for shape in self._plan.shapes}
            pool.shutdown(wait=False)

    def mean(self) -> float:
        """Returns the FLOPs of a batch, the mean over an epoch."""
        self.start()
        report = self._plan.report()
        shapes = zip(report["shapes"], report["batches_per_shape"], strict=True)
        return sum(self._counts[shape].result() * count for shape, count in shapes) / report["batches_per_epoch"]

    def rates(self, plan: BatchPlan, numbers: range, seconds: float, members: float = 1) -> dict[str, float]:
        """Returns the speed of training on the batches `numbers` of `plan` in `seconds`.

        Args:
          plan: this plan, or that of a run with another seed.
          numbers: of the batches.
          seconds: from the first to the last.
          members: runs that trained at the same time on the same devices.

        Returns:
          "model_flops_per_second" of one run, on all devices; "mfu", the model FLOP utilisation: the share of the peak
          of all devices that all runs used. Without "mfu" if the peak is not known; empty if parameters are frozen.
        """
        if self._frozen:
            return {}
        self.start()
        flops = sum(self._counts[plan.shape(number)].result() for number in numbers) / seconds
        utilisation = {"mfu": members * flops / self._peak} if self._peak else {}
        return {"model_flops_per_second": flops, **utilisation}
