"""A `Memory` of throughtime: `step` is what acting runs, `unroll` what training runs."""

from typing import Any

import jax.numpy as jnp

from throughtime.memory import Memory
from throughtime.proof.memcheck.adapters._jax import JaxPolicy, reset_by_rows


def wrap(memory: Memory, observation_shape: tuple[int, ...] | None) -> JaxPolicy:
    """Observations are the memory's inputs, in the dtype of its state (float32 where it has none)."""
    del observation_shape
    leaves = _floats(memory.initial_state(1))
    dtype = leaves[0].dtype if leaves else jnp.float32

    def step(state: Any, obs: Any, reset: Any) -> tuple[Any, Any]:
        return memory.step(reset_by_rows(memory.initial_state, state, reset), obs.astype(dtype))

    def sequence(state: Any, obs: Any, resets: Any) -> tuple[Any, Any]:
        return memory.unroll(state, obs.astype(dtype), resets)

    return JaxPolicy(memory.initial_state, step, sequence, observation_shape=(memory.input_size,))


def _floats(state: Any) -> list[Any]:
    import jax

    return [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
