"""Where arrays live and how a pure step is compiled: `jit` over a mesh, or `pmap`.

Both see the same global batch and give the same sums; only the way the work is shared differs.
"""

import concurrent.futures
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from transformer.spec import PAD, TrainSpec
from transformer.training.state import Model
from transformer.training.step import make_step

_LOOK = 0.2  # seconds between two looks at whether to go on waiting
AXIS = "data"
MEMBERS = "member"

Shape = tuple[int, int, int]  # rows, source width, target width of a batch


class ShapedStep:
    """A compiled step with one program for each shape of batch, compiled on threads before it is needed.

    Args:
      step: a jitted step, (state, source_BS, target_BT, numbers) → (state, sums).
      state, numbers: arguments of the step, or their shapes.
      whole, by_row: how these and a batch lie on the devices.
      shapes: all there will be, the first needed first.
      leading: axes of a batch before its rows.
      check: is called several times a second while a program is waited for, and may raise.
      threads: how many programs are compiled at a time.
    """

    def __init__(
        self,
        step: Any,
        state: Any,
        numbers: Any,
        whole: NamedSharding,
        by_row: NamedSharding,
        shapes: Sequence[Shape],
        leading: tuple[int, ...] = (),
        check: Callable[[], None] = lambda: None,
        threads: int = 2,
    ) -> None:
        def abstract(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole)

        def compiled(shape: Shape) -> Callable[..., Any]:
            rows, *widths = shape
            sizes = [(*leading, rows, width) for width in widths]
            batch = [jax.ShapeDtypeStruct(size, jnp.int32, sharding=by_row) for size in sizes]
            return step.lower(state, *batch, numbers).compile()

        # Threads and not processes: XLA compiles outside of the interpreter lock.
        pool = concurrent.futures.ThreadPoolExecutor(threads)
        state, numbers = jax.tree.map(abstract, (state, numbers))
        self._programs = {shape: pool.submit(compiled, shape) for shape in shapes}
        self._check = check
        pool.shutdown(wait=False)

    def __call__(self, state: Any, source_BS: jax.Array, target_BT: jax.Array, numbers: Any) -> Any:
        """Runs the program of the batch's shape, as soon as it is compiled.

        Raises:
          ValueError: a batch of another shape than was announced.
        """
        shape = (source_BS.shape[-2], source_BS.shape[-1], target_BT.shape[-1])
        if shape not in self._programs:
            raise ValueError(f"batch of shape {shape}, which is none of the {len(self._programs)} compiled for")
        return self._program(shape)(state, source_BS, target_BT, numbers)

    def _program(self, shape: Shape) -> Any:
        while not (program := self._programs[shape]).done():
            self._check()
            concurrent.futures.wait([program], timeout=_LOOK)
        return program.result()

    def memory(self, shape: Shape) -> tuple[int, int]:
        """Bytes on a device for a batch of `shape`: of the state and other arguments, and of what is worked out."""
        sizes = self._program(shape).memory_analysis()
        fixed = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
        return fixed, sizes.temp_size_in_bytes


class MeshPlacement:
    """One program over a mesh of devices; XLA divides it by how its arguments are sharded.

    Args:
      devices: which devices share each batch; default: all.
      options: of the compiler, for every program.
    """

    leading: tuple[int, ...] = ()  # axes of states, numbers and batches before their own

    def __init__(self, devices: Sequence[Any] | None = None, options: dict[str, Any] | None = None) -> None:
        self.options = options
        self.mesh = Mesh(np.array(devices or jax.devices()), (AXIS,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.by_row = NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def devices(self) -> int:
        """How many devices share a batch: its rows must divide by this."""
        return self.mesh.size

    def replicate(self, tree: Any) -> Any:
        """The tree on every device. Its arrays are copies: donating them leaves the originals alone."""
        return jax.tree.map(lambda leaf: jax.device_put(jnp.copy(leaf), self.replicated), tree)

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
        return jax.device_put(rows, self.by_row)

    def host(self, tree: Any) -> Any:
        """The tree as one array a leaf, whatever the devices hold."""
        return tree

    def compile_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The compiled training step; its state argument is donated."""
        whole, rows = self.replicated.spec, self.by_row.spec
        step = jax.shard_map(
            self._local_step(model, train),
            mesh=self.mesh,
            in_specs=(whole, rows, rows, whole),
            out_specs=whole,
            check_vma=False,
        )
        return jax.jit(step, donate_argnums=0, compiler_options=self.options)

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
        return ShapedStep(step, state, numbers, self.replicated, self.by_row, shapes, self.leading, check)

    def _local_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The step as one device runs it, on its part of the rows: gradients and sums are added over devices once."""
        if self.devices == 1:
            return make_step(model, train)
        step = make_step(model, train, lambda tree: jax.lax.psum(tree, AXIS), self._divide)

        def local(state: Any, source_BS: jax.Array, target_BT: jax.Array, numbers: Any) -> Any:
            first_row = jax.lax.axis_index(AXIS) * source_BS.shape[0]
            return step(state, source_BS, target_BT, numbers, first_row)

        return local

    def _divide(self, function: Callable[[jax.Array], jax.Array], stack: jax.Array) -> jax.Array:
        """`function(stack)`, of which each device works out some rows; the last one's may be zeros that fill up."""
        rows = -(-len(stack) // self.devices)
        padding = [(0, rows * self.devices - len(stack)), *((0, 0) for _ in stack.shape[1:])]
        mine = jax.lax.dynamic_slice_in_dim(jnp.pad(stack, padding), jax.lax.axis_index(AXIS) * rows, rows)
        return jax.lax.all_gather(function(mine), AXIS, tiled=True)[: len(stack)]

    def compile_rows(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles a function of (params, arrays by row ...) for evaluation and search."""
        return jax.jit(function, compiler_options=self.options)


class PmapPlacement(MeshPlacement):
    """A program a device, on its part of the batch, with sums exchanged explicitly."""

    def replicate(self, tree: Any) -> Any:
        """The tree with a leading axis of devices."""
        count = self.devices
        return jax.tree.map(
            lambda leaf: jax.device_put(
                jnp.broadcast_to(jnp.asarray(leaf)[None], (count, *jnp.shape(leaf))), self.by_row
            ),
            tree,
        )

    def host(self, tree: Any) -> Any:
        """The first device's copy."""
        return jax.tree.map(lambda leaf: leaf[0], tree)

    def compile_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        """The compiled training step under `jax.pmap`; its state argument is donated."""
        devices = list(self.mesh.devices.flat)
        local = self._local_step(model, train)
        compiled = jax.pmap(local, axis_name=AXIS, in_axes=(0, 0, 0, 0), donate_argnums=0, devices=devices)

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
        self.mesh = Mesh(every.reshape(groups, -1), (MEMBERS, AXIS), axis_types=(AxisType.Auto,) * 2)
        self.replicated = NamedSharding(self.mesh, PartitionSpec(MEMBERS))
        self.by_row = NamedSharding(self.mesh, PartitionSpec(MEMBERS, AXIS))

    def replicate(self, tree: Any) -> Any:
        """Each member's part on its devices. Arrays are copies: donating them leaves the originals alone."""
        return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf), self.replicated, may_alias=False), tree)

    @property
    def devices(self) -> int:
        """How many devices share a member's batch."""
        return self.mesh.shape[AXIS]

    def _local_step(self, model: Model, train: TrainSpec) -> Callable[..., Any]:
        return jax.vmap(super()._local_step(model, train))


PLACEMENTS: dict[str, type[MeshPlacement]] = {"mesh": MeshPlacement, "pmap": PmapPlacement}
