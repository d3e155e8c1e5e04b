"""Ahead-of-time compilation of a step: one program for each batch shape, compiled on threads before it is needed."""

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

StepShape = tuple[int, int, int]  # rows, source width and target width of a batch
Program = concurrent.futures.Future[Any]  # a program that is being compiled


class CompiledSteps:
    """A compiled step with one program for each batch shape, compiled on threads before it is needed.

    Args:
      step: a jitted step, (state, source_BS, target_BT, hyperparams) → (state, sums).
      state, hyperparams: arguments of the step, or their shapes.
      abstract: returns the shapes and shardings of such a tree.
      batch_sharding: sharding of a batch.
      shapes: all batch shapes, in the order of their first use.
      leading_shape: axes of a batch before its rows.
      wait: waits until a program is ready, if it is not; may raise.
      threads: number of programs compiled concurrently.
    """

    def __init__(
        self,
        step: Any,
        state: Any,
        hyperparams: Any,
        abstract: Callable[[Any], Any],
        batch_sharding: NamedSharding,
        shapes: Sequence[StepShape],
        leading_shape: tuple[int, ...] = (),
        wait: Callable[[Program], None] = lambda program: None,
        threads: int = 2,
    ) -> None:
        def compile_for(shape: StepShape) -> Callable[..., Any]:
            rows, *widths = shape
            sizes = [(*leading_shape, rows, width) for width in widths]
            batch = [jax.ShapeDtypeStruct(size, jnp.int32, sharding=batch_sharding) for size in sizes]
            return step.lower(state, *batch, hyperparams).compile()

        # Threads and not processes: XLA releases the interpreter lock while it compiles.
        pool = concurrent.futures.ThreadPoolExecutor(threads)
        state, hyperparams = abstract(state), abstract(hyperparams)
        self._programs = {shape: pool.submit(compile_for, shape) for shape in shapes}
        self._wait = wait
        pool.shutdown(wait=False)

    def __call__(self, state: Any, source_BS: jax.Array, target_BT: jax.Array, hyperparams: Any) -> Any:
        """Runs the program for the batch's shape; waits until it is compiled.

        Raises:
          ValueError: the batch has a shape that was not announced.
        """
        shape = (source_BS.shape[-2], source_BS.shape[-1], target_BT.shape[-1])
        if shape not in self._programs:
            raise ValueError(f"batch of shape {shape}: not one of the {len(self._programs)} compiled shapes")
        return self._program(shape)(state, source_BS, target_BT, hyperparams)

    def _program(self, shape: StepShape) -> Any:
        if not (program := self._programs[shape]).done():
            self._wait(program)
        return program.result()

    def memory_bytes(self, shape: StepShape) -> tuple[int, int]:
        """Returns bytes per device for a batch of `shape`: of the state and other arguments, and of temporaries."""
        return memory_bytes(self._program(shape))


def memory_bytes(program: Any) -> tuple[int, int]:
    """Returns bytes per device of a compiled program: of arguments and results, and of temporaries."""
    sizes = program.memory_analysis()
    arguments = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return arguments, sizes.temp_size_in_bytes
