"""Where arrays live and how a pure step is compiled: `jit` over a mesh, or `pmap`.

Both see the same global batch and give the same sums; only the way the work is shared differs. Devices may belong to
several processes, each of which runs the same program and holds its devices' part of every array.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from transformer.spec import PAD, TrainSpec
from transformer.training.aot import Shape, ShapedStep
from transformer.training.partitioning import AXES, DATA, FSDP, partitions
from transformer.training.state import Model
from transformer.training.step import make_step

MEMBERS = "member"


class MeshPlacement:
    """One program over a mesh of devices; XLA divides it by how its arguments are sharded.

    Rows of a batch are divided over `data` × `fsdp`, parameters over `fsdp` × `tensor` as `training/partitioning.py` says.
    Where every device has all parameters, what it does with its rows is written out, and gradients are added up once.

    Args:
      devices: which devices share each batch; default: all.
      options: of the compiler, for every program.
      fsdp: over how many devices each stored parameter is divided.
      tensor: over how many devices the work of a layer is divided; what is left of the devices divides the rows.

    Raises:
      ValueError: the devices do not divide so.
    """

    leading: tuple[int, ...] = ()  # axes of states, numbers and batches before their own

    def __init__(
        self,
        devices: Sequence[Any] | None = None,
        options: dict[str, Any] | None = None,
        fsdp: int = 1,
        tensor: int = 1,
    ) -> None:
        self.options = options
        every = list(devices or jax.devices())
        if len(every) % (fsdp * tensor):
            raise ValueError(f"parallel.fsdp={fsdp} × parallel.tensor={tensor} do not divide {len(every)} devices")
        # Where links between chips differ, the order in which the mesh takes them matters: make_mesh knows.
        sizes = (len(every) // (fsdp * tensor), fsdp, tensor)
        self.mesh = jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * 3, devices=every)
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.by_row = NamedSharding(self.mesh, PartitionSpec((DATA, FSDP)))
        self.divided = fsdp * tensor > 1

    @property
    def devices(self) -> int:
        """Into how many parts a batch is divided by its rows."""
        return self.mesh.shape[DATA] * self.mesh.shape.get(FSDP, 1)

    @property
    def share(self) -> tuple[int, int]:
        """Which of these parts this process has on its devices: from the first number up to the second."""
        rows = self.by_row.addressable_devices_indices_map((self.devices,)).values()
        bounds = [each.indices(self.devices) for (each,) in cast(Any, rows)]
        return min(first for first, *_ in bounds), max(last for _, last, _ in bounds)

    def shardings(self, tree: Any) -> Any:
        """How the arrays of a state, of parameters or of numbers lie on the devices."""
        if not self.divided:
            return jax.tree.map(lambda _: self.replicated, tree)
        return self._named(tree, self.mesh.shape)

    def _named(self, tree: Any, sizes: Mapping[str, int]) -> Any:
        """The table's partitions of a tree, for axes of such sizes, on the mesh."""
        # With the tree itself first: a partition is a tuple, and so would be taken for a part of a tree.
        return jax.tree.map(lambda _, part: NamedSharding(self.mesh, part), tree, partitions(tree, sizes))

    def laid(self, tree: Any) -> Any:
        """Shapes and dtypes of a tree of arrays, or of shapes, as they lie on the devices."""
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            tree,
            self.shardings(tree),
        )

    def place(self, tree: Any) -> Any:
        """Parameters on the devices, for evaluation and search."""
        return jax.tree.map(_put, tree, self.shardings(tree))

    def distribute(self, tree: Any) -> Any:
        """The tree on the devices. Its arrays are copies: donating them leaves the originals alone."""
        return self.place(jax.tree.map(jnp.copy, tree))

    @property
    def on_cpu(self) -> bool:
        """Whether the devices are (parts of) CPUs."""
        return self.mesh.devices.flat[0].platform == "cpu"

    def rows(self, count: int) -> int:
        """How many rows there are of `count` once they divide among the devices."""
        return count + -count % self.devices

    def shard(self, rows: np.ndarray) -> jax.Array:
        """A batch [..., rows, width] divided among the devices by its rows; rows of PAD fill it up.

        What a batch holds then does not depend on how many devices there are.
        """
        missing = self.rows(rows.shape[-2]) - rows.shape[-2]
        if missing:
            rows = np.pad(rows, [*((0, 0) for _ in self.leading), (0, missing), (0, 0)], constant_values=PAD)
        return _put(rows, self.by_row)

    def shard_part(self, rows: np.ndarray) -> jax.Array:
        """A batch of which this process has its `share` of the rows, filled up to what the devices divide."""
        first, last = self.share
        each = rows.shape[0] // (last - first)
        shape = (each * self.devices, *rows.shape[1:])

        def part(index: Any) -> np.ndarray:
            begin, end, _ = index[0].indices(shape[0])
            return rows[begin - first * each : end - first * each]

        return jax.make_array_from_callback(shape, self.by_row, part)

    def host(self, tree: Any) -> Any:
        """The tree as one array a leaf, whatever the devices hold."""
        return tree

    def compile_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The compiled training step; its state argument is donated, but on a CPU."""
        step = self._divided_step(model, train) if self.divided else self._mapped_step(model, train)
        return jax.jit(step, donate_argnums=self._donated, compiler_options=self.options)

    @property
    def _donated(self) -> tuple[int, ...]:
        """Which arguments of a step give their memory to its results.

        On a CPU XLA writes each array of an optimizer's state in a loop of its own, and copies first what a later loop
        has yet to read. It copies nothing where results have memory of their own: a tenth less time a step.
        """
        return () if self.on_cpu else (0,)

    def _mapped_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The step as what each device does with its rows."""
        whole, rows = self.replicated.spec, self.by_row.spec
        return jax.shard_map(
            self._local_step(model, train),
            mesh=self.mesh,
            in_specs=(whole, rows, rows, whole),
            out_specs=whole,
            check_vma=False,
        )

    def _divided_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The step as it is for one device; XLA works out who does what from where parameters and rows lie."""

        def reduce(found: tuple[Any, Any]) -> tuple[Any, Any]:
            gradients, sums = found
            return jax.lax.with_sharding_constraint(gradients, self.shardings(gradients)), sums

        step = make_step(cast(Model, lambda params: model(self._gathered(params))), train, reduce)

        def run(state: Any, source_BS: jax.Array, target_BT: jax.Array, numbers: Any) -> Any:
            state, sums = step(state, source_BS, target_BT, numbers)
            state = jax.lax.with_sharding_constraint(state, self.shardings(state))
            return state, jax.lax.with_sharding_constraint(sums, jax.tree.map(lambda _: self.replicated, sums))

        return run

    def _gathered(self, params: Any) -> Any:
        """Parameters as layers use them: stored in parts, put together; what is divided by `tensor` stays so."""
        return jax.lax.with_sharding_constraint(params, self._named(params, dict(self.mesh.shape) | {FSDP: 1}))

    def compile_shapes(
        self,
        model: Model,
        train: TrainSpec,
        state: Any,
        numbers: Any,
        shapes: Sequence[Shape],
        check: Callable[[], None] = lambda: None,
    ) -> Callable[..., Any]:
        """The compiled step for batches of `shapes` only, each compiled in the background before it is needed.

        `state` and `numbers` may be shapes: compiling can begin before there are parameters. `check` is called now and
        then while a program is waited for, and may raise.
        """
        step = self.compile_step(model, train)
        return ShapedStep(step, state, numbers, self.laid, self.by_row, shapes, self.leading, check)

    def _local_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The step as one device runs it, on its part of the rows: gradients and sums are added over devices once."""
        if self.devices == 1:
            return make_step(model, train)
        step = make_step(model, train, lambda tree: jax.lax.psum(tree, DATA), self._divide)

        def local(state: Any, source_BS: jax.Array, target_BT: jax.Array, numbers: Any) -> Any:
            first_row = jax.lax.axis_index(DATA) * source_BS.shape[0]
            return step(state, source_BS, target_BT, numbers, first_row)

        return local

    def _divide(self, function: Callable[[jax.Array], jax.Array], stack: jax.Array) -> jax.Array:
        """`function(stack)`, of which each device works out some rows; the last one's may be zeros that fill up."""
        rows = -(-len(stack) // self.devices)
        padding = [(0, rows * self.devices - len(stack)), *((0, 0) for _ in stack.shape[1:])]
        mine = jax.lax.dynamic_slice_in_dim(jnp.pad(stack, padding), jax.lax.axis_index(DATA) * rows, rows)
        return jax.lax.all_gather(function(mine), DATA, tiled=True)[: len(stack)]

    def compile_rows(self, function: Callable[..., Any], summed: bool = False) -> Callable[..., Any]:
        """Compiles a function of (params, arrays by row ...) for evaluation and search.

        Where every device has all parameters, each does what the function says with its own rows: a search of one does
        not wait for the others. With several processes each has the whole result, which none could read otherwise.

        Args:
          function: what it makes of a row must not depend on the other rows.
          summed: its results are sums over rows; else they are arrays by row.
        """
        whole = self.replicated if jax.process_count() > 1 else None

        def mapped(params: Any, *arrays: Any) -> Any:
            def local(params: Any, *arrays: Any) -> Any:
                found = function(params, *arrays)
                return jax.lax.psum(found, DATA) if summed else found

            rows = self.by_row.spec
            step = jax.shard_map(
                local,
                mesh=self.mesh,
                in_specs=(PartitionSpec(), *(rows for _ in arrays)),
                out_specs=PartitionSpec() if summed else rows,
                check_vma=False,
            )
            return step(params, *arrays)

        def gathered(params: Any, *arrays: Any) -> Any:
            return function(self._gathered(params), *arrays)

        run = gathered if self.divided else mapped if self.devices > 1 else function
        compiled = jax.jit(run, compiler_options=self.options, out_shardings=whole)
        exchanging = self.divided or (summed and self.devices > 1)
        return _in_turn(compiled) if exchanging and self.on_cpu else compiled


class PmapPlacement(MeshPlacement):
    """A program a device, on its part of the batch, with sums exchanged explicitly."""

    def __init__(
        self,
        devices: Sequence[Any] | None = None,
        options: dict[str, Any] | None = None,
        fsdp: int = 1,
        tensor: int = 1,
    ) -> None:
        super().__init__(devices, options, fsdp, tensor)
        # The one axis that pmap itself gives its results: a state that comes back is no reason to compile again.
        self.mesh = Mesh(self.mesh.devices.reshape(-1), (DATA,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.by_row = NamedSharding(self.mesh, PartitionSpec(DATA))

    def distribute(self, tree: Any) -> Any:
        """The tree with a leading axis of devices."""

        def one(leaf: Any) -> jax.Array:
            # Several processes cannot compute on arrays of one of them.
            array = np.asarray(leaf) if jax.process_count() > 1 else jnp.asarray(leaf)
            library = np if jax.process_count() > 1 else jnp
            return _put(library.broadcast_to(array[None], (self.devices, *array.shape)), self.by_row)

        return jax.tree.map(one, tree)

    def host(self, tree: Any) -> Any:
        """What all devices have, without the axis of devices."""

        def one(leaf: jax.Array) -> jax.Array:
            parts = [shard.data[0] for shard in leaf.addressable_shards]
            return jax.make_array_from_single_device_arrays(leaf.shape[1:], self.replicated, parts)

        return jax.tree.map(one, tree)

    def compile_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The compiled training step under `jax.pmap`; its state argument is donated, but on a CPU."""
        devices = list(self.mesh.devices.flat)
        local = self._local_step(model, train)
        compiled = jax.pmap(local, axis_name=DATA, in_axes=(0, 0, 0, 0), donate_argnums=self._donated, devices=devices)

        def run(state: Any, source_BS: jax.Array, target_BT: jax.Array, numbers: Any) -> Any:
            parts = (rows.reshape(self.devices, -1, *rows.shape[1:]) for rows in (source_BS, target_BT))
            state, sums = compiled(state, *parts, numbers)
            return state, self.host(sums)

        return run

    def compile_shapes(
        self,
        model: Model,
        train: TrainSpec,
        state: Any,
        numbers: Any,
        shapes: Sequence[Shape],
        check: Callable[[], None] = lambda: None,
    ) -> Callable[..., Any]:
        """The step under `jax.pmap`, which compiles a shape when it first meets it."""
        return self.compile_step(model, train)


class PopulationPlacement(MeshPlacement):
    """One program that makes a step of several runs at once, whose states, numbers and batches are stacked.

    Devices divide the members among themselves as far as they can, and the rows of a batch beyond that: four members on
    two devices are two each, and exchange nothing; three members on two devices share each batch.

    Args:
      members: how many runs.
      devices: default: all.
      options: of the compiler.
    """

    def __init__(
        self, members: int, devices: Sequence[Any] | None = None, options: dict[str, Any] | None = None
    ) -> None:
        self.options = options
        self.leading = (members,)
        every = np.array(devices or jax.devices())
        groups = math.gcd(members, every.size)
        self.mesh = Mesh(every.reshape(groups, -1), (MEMBERS, DATA), axis_types=(AxisType.Auto,) * 2)
        self.replicated = NamedSharding(self.mesh, PartitionSpec(MEMBERS))
        self.by_row = NamedSharding(self.mesh, PartitionSpec(MEMBERS, DATA))
        self.divided = False

    def distribute(self, tree: Any) -> Any:
        """Each member's part on its devices. Arrays are copies: donating them leaves the originals alone."""
        return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf), self.replicated, may_alias=False), tree)

    def _local_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        return jax.vmap(super()._local_step(model, train))


def _put(leaf: Any, sharding: Sharding) -> jax.Array:
    """An array on the devices, of which each process puts what its own devices hold."""
    if jax.process_count() == 1 or (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable):
        return jax.device_put(leaf, sharding)
    array = np.asarray(leaf)
    # Not device_put, which would compare the array with that of every other process.
    parts = [
        jax.device_put(array[index], device, may_alias=False)
        for device, index in sharding.addressable_devices_indices_map(array.shape).items()
    ]
    return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)


PLACEMENTS: dict[str, type[MeshPlacement]] = {"mesh": MeshPlacement, "pmap": PmapPlacement}


def _in_turn(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, begun when the devices have done what it was called for before.

    The devices of a CPU share as many threads as there are devices. A program that waits in one for its other half
    occupies it, and so does the next one, where nothing makes it wait for the first: then all threads may wait for
    halves that have none.
    """
    last: list[Any] = []

    def in_turn(*args: Any) -> Any:
        jax.block_until_ready(last)
        last[:] = [run(*args)]
        return last[0]

    return in_turn
