"""The gradient microscope in a task: any model, its own loss, no hook in either."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from throughtime.gradients.flow import Flow, measure_flow
from throughtime.memory import Memory
from throughtime.tasks.base import Task


class _Probe(Memory):
    """A memory whose outputs have something added, and which remembers what it was called with."""

    memory: Memory
    tap: Float[Array, "T B O"] | None
    calls: list[Any] = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, memory: Memory, tap: Float[Array, "T B O"] | None, calls: list[Any]):
        self.memory, self.tap, self.calls = memory, tap, calls
        self.input_size, self.output_size = memory.input_size, memory.output_size

    def initial_state(self, batch_size: int) -> Any:
        return self.memory.initial_state(batch_size)

    def advance(self, state: Any, projected: PyTree) -> tuple[Any, PyTree]:
        return self.memory.advance(state, projected)

    def unroll(
        self, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any = None
    ) -> tuple[Any, Float[Array, "T B O"]]:
        self.calls.append((state, xs, resets))
        state, ys = self.memory.unroll(state, xs, resets, taps)
        return state, ys if self.tap is None else ys + self.tap


class TaskMicroscope:
    """Looks at the first memory of a task's model (an encoder-decoder's encoder), through the task's own loss.

    Where the loss reads the memory's last state as well as its outputs, as that of an encoder, the part that goes
    through the state is not seen.

    Args:
        task: whose loss it is.
        data: the task's data.
        size: examples of each look.
        jacobian_rows: rows of the batch whose step Jacobians are looked at; 0 for none.
    """

    def __init__(self, task: Task, data: PyTree, *, size: int = 16, jacobian_rows: int = 2):
        self._task, self._data, self._size, self._jacobian_rows = task, data, size, jacobian_rows
        self._gradient = eqx.filter_jit(self._outputs_gradient)

    def look(self, model: Any, key: PRNGKeyArray) -> Flow:
        """What it sees of a model.

        Args:
            model: as it is now.
            key: of the examples.
        """
        d_ys, call = self._gradient(model, self._data, key)
        memory, (state, xs, resets) = _first_memory(model)[0], call
        # An encoder's sequences are not those over which an encoder-decoder task counts its lag.
        lag = None if self._task.architecture == "encoder-decoder" else self._task.required_lag
        rows = self._jacobian_rows
        return measure_flow(memory, state, xs, resets, d_ys, required_lag=lag, jacobian_rows=rows)

    def _outputs_gradient(self, model: Any, data: PyTree, key: PRNGKeyArray) -> tuple[Float[Array, "T B O"], Any]:
        """∂L/∂y at every output of the memory, and what it was called with."""
        memory, where = _first_memory(model)
        batch = self._task.batch(data, self._size, key)

        def loss(tap: Array | None) -> tuple[Float[Array, ""], Any]:
            calls: list[Any] = []
            probed = eqx.tree_at(where, model, _Probe(memory, tap, calls))
            return self._task.loss(probed, batch, None, jnp.ones(())), calls[0]

        _, (_, xs, _) = jax.eval_shape(lambda: loss(None))
        return jax.grad(loss, has_aux=True)(jnp.zeros((*xs.shape[:2], memory.output_size), xs.dtype))


def _first_memory(model: Any) -> tuple[Memory, Any]:
    """The first memory in a model, and where it is."""

    def is_memory(node: Any) -> bool:
        return isinstance(node, Memory)

    leaves = jax.tree.leaves(model, is_leaf=is_memory)
    index = next(i for i, leaf in enumerate(leaves) if is_memory(leaf))
    return leaves[index], lambda m: jax.tree.leaves(m, is_leaf=is_memory)[index]
