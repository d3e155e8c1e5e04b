"""A compiled step with one program for each shape of batch, compiled on threads before it is needed."""

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

_LOOK = 0.2  # seconds between two looks at whether to go on waiting

Shape = tuple[int, int, int]  # rows, source width, target width of a batch


class ShapedStep:
    """A compiled step with one program for each shape of batch, compiled on threads before it is needed.

    Args:
      step: a jitted step, (state, source_BS, target_BT, numbers) → (state, sums).
      state, numbers: arguments of the step, or their shapes.
      laid: of such a tree, its shapes as they lie on the devices.
      by_row: how a batch does.
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
        laid: Callable[[Any], Any],
        by_row: NamedSharding,
        shapes: Sequence[Shape],
        leading: tuple[int, ...] = (),
        check: Callable[[], None] = lambda: None,
        threads: int = 2,
    ) -> None:
        def compiled(shape: Shape) -> Callable[..., Any]:
            rows, *widths = shape
            sizes = [(*leading, rows, width) for width in widths]
            batch = [jax.ShapeDtypeStruct(size, jnp.int32, sharding=by_row) for size in sizes]
            return step.lower(state, *batch, numbers).compile()

        # Threads and not processes: XLA compiles outside of the interpreter lock.
        pool = concurrent.futures.ThreadPoolExecutor(threads)
        state, numbers = laid(state), laid(numbers)
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
