"""A cell of Equinox (`eqx.nn.GRUCell`, `eqx.nn.LSTMCell`), or a module called in the same way.

`cell(x, state)` takes one row and returns the next state, whose first array (h) is the output; a module of one's own
may return a pair `(state, out)` and tell its state by `initial_state()`. Equinox has no resets and no sequences: the
rows are mapped, flags replace the state by `where`, and `sequence` is a scan. What is checked beside that is the cell.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from throughtime.core import ConfigError
from throughtime.proof.memcheck.adapters._jax import JaxPolicy, reset_by_rows


def wrap(cell: Any, observation_shape: tuple[int, ...] | None) -> JaxPolicy:
    """Observations are the cell's inputs.

    Raises:
        ConfigError: a module that is no cell.
    """
    one_row = _initial_row(cell)
    shape = observation_shape or ((cell.input_size,) if hasattr(cell, "input_size") else None)
    returns_pair = not isinstance(cell, eqx.nn.GRUCell | eqx.nn.LSTMCell) and callable(
        getattr(cell, "initial_state", None)
    )

    def initial_state(batch: int) -> Any:
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), one_row)

    def step(state: Any, obs: Any, reset: Any) -> tuple[Any, Any]:
        answer = jax.vmap(cell)(obs, reset_by_rows(initial_state, state, reset))
        if returns_pair:
            state, out = answer
            return state, out
        return answer, jax.tree.leaves(answer)[0]

    return JaxPolicy(initial_state, step, observation_shape=shape)


def _initial_row(cell: Any) -> Any:
    if callable(getattr(cell, "initial_state", None)):
        return cell.initial_state()
    if not hasattr(cell, "hidden_size"):
        raise ConfigError(
            f"{type(cell).__name__} is no recurrent cell that memcheck knows.",
            "It takes eqx.nn.GRUCell and LSTMCell, and modules with initial_state() and __call__(x, state).",
            "Write the three functions around it: docs/memcheck.md shows how.",
        )
    zeros = jnp.zeros(cell.hidden_size)
    return (zeros, zeros) if isinstance(cell, eqx.nn.LSTMCell) else zeros
