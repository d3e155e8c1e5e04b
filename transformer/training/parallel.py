"""Partitioners: they place arrays on devices and compile a pure step with `jit` over a mesh, or with `pmap`.

All of them take the same global batch and compute the same sums; they differ in how devices share the work. Devices may
belong to several processes. Each process runs the same program and holds the parts of every array on its devices.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from transformer.ops.matmul import at_precision
from transformer.spec import PAD, TrainSpec
from transformer.training.aot import CompiledSteps, Program, StepShape
from transformer.training.partitioning import AXES, DATA, FSDP, partition_specs
from transformer.training.state import ModelDef
from transformer.training.step import make_step

MEMBERS = "member"


class MeshPartitioner:
    """Compiles one program for a mesh of devices, which XLA partitions by the shardings of its arguments.

    The rows of a batch are sharded over `data` × `fsdp`, and parameters over `fsdp` × `tensor` as
    `training/partitioning.py` specifies. If parameters are replicated, the program is the step of one device on its
    rows (`shard_map`), with one all-reduce of the gradients.

    Args:
      devices: devices that share each batch; default: all.
      options: compiler options for every program.
      fsdp: number of devices over which each stored parameter is sharded.
      tensor: number of devices that share the work of a layer; the remaining factor of the devices shards the rows.
      matmul_precision: precision of float32 matmuls in every program; see `ops.matmul.at_precision`.

    Raises:
      ValueError: fsdp × tensor does not divide the number of devices.
    """

    leading_shape: tuple[int, ...] = ()  # leading axes that states, hyperparams and batches have in addition

    def __init__(
        self,
        devices: Sequence[Any] | None = None,
        options: dict[str, Any] | None = None,
        fsdp: int = 1,
        tensor: int = 1,
        matmul_precision: str = "default",
    ) -> None:
        self.options, self.matmul_precision = options, matmul_precision
        devices = list(devices or jax.devices())
        if len(devices) % (fsdp * tensor):
            raise ValueError(f"parallel.fsdp={fsdp} × parallel.tensor={tensor} do not divide {len(devices)} devices")
        # make_mesh orders the devices by the links between the chips.
        sizes = (len(devices) // (fsdp * tensor), fsdp, tensor)
        self.mesh = jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.batch_sharding = NamedSharding(self.mesh, PartitionSpec((DATA, FSDP)))
        self.sharded = fsdp * tensor > 1

    @property
    def batch_parts(self) -> int:
        """Number of parts into which the rows of a batch are sharded."""
        return self.mesh.shape[DATA] * self.mesh.shape.get(FSDP, 1)

    @property
    def local_parts(self) -> tuple[int, int]:
        """First (inclusive) and last (exclusive) part of the rows on the devices of this process."""
        rows = self.batch_sharding.addressable_devices_indices_map((self.batch_parts,)).values()
        bounds = [index.indices(self.batch_parts) for (index,) in cast(Any, rows)]
        return min(first for first, *_ in bounds), max(last for _, last, _ in bounds)

    def shardings(self, tree: Any) -> Any:
        """Returns the shardings of a state, of parameters or of hyperparams."""
        if not self.sharded:
            return jax.tree.map(lambda _: self.replicated, tree)
        return self._named_shardings(tree)

    def _named_shardings(self, tree: Any, gathered: bool = False) -> Any:
        """Returns the shardings of a tree; see `partitioning.partition_specs`."""
        specs = partition_specs(tree, self.mesh.shape, gathered)
        # `tree` comes first because a PartitionSpec is a tuple, which jax.tree.map would otherwise traverse.
        return jax.tree.map(lambda _, spec: NamedSharding(self.mesh, spec), tree, specs)

    def abstract(self, tree: Any) -> Any:
        """Returns the shapes, dtypes and shardings of a tree of arrays or shapes, as `jax.ShapeDtypeStruct`s."""
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            tree,
            self.shardings(tree),
        )

    def put_params(self, tree: Any) -> Any:
        """Puts parameters on the devices, for evaluation and search."""
        return jax.tree.map(_put, tree, self.shardings(tree))

    def put_state(self, tree: Any) -> Any:
        """Copies a state or hyperparams to the devices. Donating the copies leaves the originals valid."""
        return self.put_params(jax.tree.map(jnp.copy, tree))

    @property
    def on_cpu(self) -> bool:
        """Whether the devices are CPUs, or simulated devices on one."""
        return self.mesh.devices.flat[0].platform == "cpu"

    def padded_rows(self, count: int) -> int:
        """Returns `count` rounded up to a multiple of `batch_parts`."""
        return count + -count % self.batch_parts

    def shard(self, rows: np.ndarray) -> jax.Array:
        """Shards a global batch [..., rows, width] by rows, padded with rows of PAD.

        The content of a batch thus does not depend on the number of devices.
        """
        missing = self.padded_rows(rows.shape[-2]) - rows.shape[-2]
        if missing:
            rows = np.pad(rows, [*((0, 0) for _ in self.leading_shape), (0, missing), (0, 0)], constant_values=PAD)
        return _put(rows, self.batch_sharding)

    def shard_local(self, rows: np.ndarray) -> jax.Array:
        """Assembles a global batch from the rows of this process, its `local_parts`, padded to equal parts."""
        first, last = self.local_parts
        rows_per_part = rows.shape[0] // (last - first)
        shape = (rows_per_part * self.batch_parts, *rows.shape[1:])

        def part(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(shape[0])
            return rows[start - first * rows_per_part : stop - first * rows_per_part]

        return jax.make_array_from_callback(shape, self.batch_sharding, part)

    def unreplicate(self, tree: Any) -> Any:
        """Returns the tree with one array per leaf and no axis of devices."""
        return tree

    def compile_step(self, model: ModelDef, train: TrainSpec) -> Callable[..., Any]:
        """Compiles the training step. It donates its state argument, except on a CPU."""
        step = self._sharded_step(model, train) if self.sharded else self._shard_map_step(model, train)
        return jax.jit(self.at_precision(step), donate_argnums=self._donate_argnums, compiler_options=self.options)

    def at_precision(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns `function`, which traces its matmuls at `matmul_precision`."""
        return at_precision(function, self.matmul_precision)

    @property
    def _donate_argnums(self) -> tuple[int, ...]:
        """Arguments of a step whose memory its results reuse.

        On a CPU XLA writes each array of an optimizer's state in a separate loop, and first copies the arrays that a
        later loop reads. Without donation there are no copies, and a step takes a tenth less time.
        """
        return () if self.on_cpu else (0,)

    def _shard_map_step(self, model: ModelDef, train: TrainSpec) -> Callable[..., Any]:
        """Builds the step from what each device computes on its rows."""
        replicated, rows = self.replicated.spec, self.batch_sharding.spec
        return jax.shard_map(
            self._local_step(model, train),
            mesh=self.mesh,
            in_specs=(replicated, rows, rows, replicated),
            out_specs=replicated,
            check_vma=False,
        )

    def _sharded_step(self, model: ModelDef, train: TrainSpec) -> Callable[..., Any]:
        """Builds the step for one device; XLA partitions it by the shardings of parameters and rows."""

        def reduce(results: tuple[Any, Any]) -> tuple[Any, Any]:
            gradients, sums = results
            return jax.lax.with_sharding_constraint(gradients, self.shardings(gradients)), sums

        step = make_step(cast(ModelDef, lambda params: model(self.gather_params(params))), train, reduce)

        def run(state: Any, source_BS: jax.Array, target_BT: jax.Array, hyperparams: Any) -> Any:
            state, sums = step(state, source_BS, target_BT, hyperparams)
            state = jax.lax.with_sharding_constraint(state, self.shardings(state))
            return state, jax.lax.with_sharding_constraint(sums, jax.tree.map(lambda _: self.replicated, sums))

        return run

    def gather_params(self, params: Any) -> Any:
        """Gathers parameters over `fsdp`, as layers use them; they remain sharded over `tensor`."""
        return jax.lax.with_sharding_constraint(params, self._named_shardings(params, gathered=True))

    def compile_step_aot(
        self,
        model: ModelDef,
        train: TrainSpec,
        state: Any,
        hyperparams: Any,
        shapes: Sequence[StepShape],
        wait: Callable[[Program], None] = lambda program: None,
    ) -> Callable[..., Any]:
        """Compiles the step for batches of `shapes` only, in the background, before it needs them.

        Args:
          model, train: as for `compile_step`.
          state, hyperparams: arrays, or their shapes, so that compilation can start before there are parameters.
          shapes: all batch shapes, in the order of their first use.
          wait: waits until a program is ready, if it is not; may raise.
        """
        step = self.compile_step(model, train)
        return CompiledSteps(
            step, state, hyperparams, self.abstract, self.batch_sharding, shapes, self.leading_shape, wait
        )

    def _local_step(self, model: ModelDef, train: TrainSpec) -> Callable[..., Any]:
        """Builds the step of one device on its rows, with one all-reduce of gradients and sums."""
        if self.batch_parts == 1:
            return make_step(model, train)
        step = make_step(model, train, lambda tree: jax.lax.psum(tree, DATA), self._map_sharded)

        def local(state: Any, source_BS: jax.Array, target_BT: jax.Array, hyperparams: Any) -> Any:
            first_row = jax.lax.axis_index(DATA) * source_BS.shape[0]
            return step(state, source_BS, target_BT, hyperparams, first_row)

        return local

    def _map_sharded(self, function: Callable[[jax.Array], jax.Array], stack: jax.Array) -> jax.Array:
        """Computes `function(stack)`, of which each device computes some rows; zeros pad the last device's rows."""
        rows = -(-len(stack) // self.batch_parts)
        padding = [(0, rows * self.batch_parts - len(stack)), *((0, 0) for _ in stack.shape[1:])]
        local_rows = jax.lax.dynamic_slice_in_dim(jnp.pad(stack, padding), jax.lax.axis_index(DATA) * rows, rows)
        return jax.lax.all_gather(function(local_rows), DATA, tiled=True)[: len(stack)]

    def compile_eval(self, function: Callable[..., Any], summed: bool = False) -> Callable[..., Any]:
        """Compiles a function of (params, arrays with rows ...) for evaluation and search.

        If parameters are replicated, each device runs the function on its rows, and no device's search waits for
        another's. With several processes the result is replicated, because a process can only read its own devices.

        Args:
          function: its result for a row must not depend on the other rows.
          summed: whether its results are sums over rows; otherwise they are arrays with rows.
        """
        out_shardings = self.replicated if jax.process_count() > 1 else None

        def mapped(params: Any, *arrays: Any) -> Any:
            def local(params: Any, *arrays: Any) -> Any:
                result = function(params, *arrays)
                return jax.lax.psum(result, DATA) if summed else result

            rows = self.batch_sharding.spec
            step = jax.shard_map(
                local,
                mesh=self.mesh,
                in_specs=(PartitionSpec(), *(rows for _ in arrays)),
                out_specs=PartitionSpec() if summed else rows,
                check_vma=False,
            )
            return step(params, *arrays)

        def gathered(params: Any, *arrays: Any) -> Any:
            return function(self.gather_params(params), *arrays)

        run = gathered if self.sharded else mapped if self.batch_parts > 1 else function
        compiled = jax.jit(self.at_precision(run), compiler_options=self.options, out_shardings=out_shardings)
        communicates = self.sharded or (summed and self.batch_parts > 1)
        return _serialised(compiled) if communicates and self.on_cpu else compiled


class PmapPartitioner(MeshPartitioner):
    """Compiles one program per device for its part of the batch, with explicit all-reduces (`jax.pmap`)."""

    def __init__(
        self,
        devices: Sequence[Any] | None = None,
        options: dict[str, Any] | None = None,
        fsdp: int = 1,
        tensor: int = 1,
        matmul_precision: str = "default",
    ) -> None:
        super().__init__(devices, options, fsdp, tensor, matmul_precision)
        # The single axis that pmap gives its results, so that a returned state does not cause a recompilation.
        self.mesh = Mesh(self.mesh.devices.reshape(-1), (DATA,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.batch_sharding = NamedSharding(self.mesh, PartitionSpec(DATA))

    def put_state(self, tree: Any) -> Any:
        """Copies a state or hyperparams to the devices, with a leading axis of devices."""

        def put(leaf: Any) -> jax.Array:
            # With several processes, broadcasting on one process's devices is impossible.
            array = np.asarray(leaf) if jax.process_count() > 1 else jnp.asarray(leaf)
            library = np if jax.process_count() > 1 else jnp
            return _put(library.broadcast_to(array[None], (self.batch_parts, *array.shape)), self.batch_sharding)

        return jax.tree.map(put, tree)

    def unreplicate(self, tree: Any) -> Any:
        """Returns the tree without the axis of devices, which hold equal values."""

        def squeeze(leaf: jax.Array) -> jax.Array:
            parts = [shard.data[0] for shard in leaf.addressable_shards]
            return jax.make_array_from_single_device_arrays(leaf.shape[1:], self.replicated, parts)

        return jax.tree.map(squeeze, tree)

    def compile_step(self, model: ModelDef, train: TrainSpec) -> Callable[..., Any]:
        """Compiles the training step with `jax.pmap`. It donates its state argument, except on a CPU."""
        compiled = jax.pmap(
            self.at_precision(self._local_step(model, train)),
            axis_name=DATA,
            in_axes=(0, 0, 0, 0),
            donate_argnums=self._donate_argnums,
            devices=list(self.mesh.devices.flat),
        )

        def run(state: Any, source_BS: jax.Array, target_BT: jax.Array, hyperparams: Any) -> Any:
            parts = (rows.reshape(self.batch_parts, -1, *rows.shape[1:]) for rows in (source_BS, target_BT))
            state, sums = compiled(state, *parts, hyperparams)
            return state, self.unreplicate(sums)

        return run

    def compile_step_aot(
        self,
        model: ModelDef,
        train: TrainSpec,
        state: Any,
        hyperparams: Any,
        shapes: Sequence[StepShape],
        wait: Callable[[Program], None] = lambda program: None,
    ) -> Callable[..., Any]:
        """Returns `compile_step`: `jax.pmap` compiles each shape at its first use."""
        return self.compile_step(model, train)


class PopulationPartitioner(MeshPartitioner):
    """Compiles one program for a step of all members of a population, with stacked states, hyperparams and batches.

    Devices share the members as far as possible, and the rows of a batch beyond that. Four members on two devices are
    two per device, without communication. Three members on two devices share each batch.

    Args:
      members: number of members.
      devices: default: all.
      options: compiler options.
      matmul_precision: as for `MeshPartitioner`.
    """

    def __init__(
        self,
        members: int,
        devices: Sequence[Any] | None = None,
        options: dict[str, Any] | None = None,
        matmul_precision: str = "default",
    ) -> None:
        self.options, self.matmul_precision = options, matmul_precision
        self.leading_shape = (members,)
        device_array = np.array(devices or jax.devices())
        groups = math.gcd(members, device_array.size)
        self.mesh = Mesh(device_array.reshape(groups, -1), (MEMBERS, DATA), axis_types=(AxisType.Auto,) * 2)
        self.replicated = NamedSharding(self.mesh, PartitionSpec(MEMBERS))
        self.batch_sharding = NamedSharding(self.mesh, PartitionSpec(MEMBERS, DATA))
        self.sharded = False

    def put_state(self, tree: Any) -> Any:
        """Copies each member's part to its devices. Donating the copies leaves the originals valid."""
        return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf), self.replicated, may_alias=False), tree)

    def _local_step(self, model: ModelDef, train: TrainSpec) -> Callable[..., Any]:
        return jax.vmap(super()._local_step(model, train))


def _put(leaf: Any, sharding: Sharding) -> jax.Array:
    """Puts an array on the devices; each process puts the parts of its own devices."""
    if jax.process_count() == 1 or (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable):
        return jax.device_put(leaf, sharding)
    array = np.asarray(leaf)
    # device_put with the global sharding would compare the array with that of every other process.
    parts = [
        jax.device_put(array[index], device, may_alias=False)
        for device, index in sharding.addressable_devices_indices_map(array.shape).items()
    ]
    return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)


PARTITIONERS: dict[str, type[MeshPartitioner]] = {"mesh": MeshPartitioner, "pmap": PmapPartitioner}


def _serialised(run: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `run` so that each call waits for the results of the previous one.

    A CPU has as many threads as devices. A program that waits for its counterpart on another device occupies a thread.
    If the next program starts meanwhile, all threads may wait for counterparts that have no thread left.
    """
    previous: list[Any] = []

    def serialised(*args: Any) -> Any:
        jax.block_until_ready(previous)
        previous[:] = [run(*args)]
        return previous[0]

    serialised.lower = run.lower  # type: ignore[attr-defined]  # as of a jitted function
    return serialised
