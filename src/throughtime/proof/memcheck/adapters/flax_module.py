"""A recurrent cell or RNN of flax: an `nnx` module, or a pair (linen module, variables).

`cell(carry, x) -> (carry, y)` is `step`. flax has no resets: flags replace the carry by `where`. `sequence` is the RNN
itself (its own scan) where no row is reset, and a scan over steps where one is.
"""
# pyright: reportMissingImports=false

from typing import Any

import jax

from throughtime.core import ConfigError
from throughtime.proof.memcheck.adapters._jax import JaxPolicy, reset_by_rows


def wrap(module: Any, observation_shape: tuple[int, ...] | None) -> JaxPolicy:
    """Observations are the cell's inputs.

    Raises:
        ConfigError: a module that is no cell and has none.
    """
    variables = None
    if isinstance(module, tuple):
        module, variables = module
    rnn, cell = (module, module.cell) if hasattr(module, "cell") else (None, module)
    if not hasattr(cell, "initialize_carry"):
        raise ConfigError(
            f"{type(module).__name__} is no recurrent cell that memcheck knows.",
            "It takes cells and RNNs of flax.nnx and, with their variables, of flax.linen.",
            "Write the three functions around it: docs/memcheck.md shows how.",
        )
    size = getattr(cell, "in_features", None)
    shape = observation_shape or (None if size is None else (size,))
    if shape is None:
        raise ConfigError(
            f"{type(cell).__name__} does not tell its input size.",
            "",
            "Pass observation_shape=(n,), --observation-shape n.",
        )
    call_cell, call_rnn = _linen(cell, rnn, variables) if variables is not None else (cell, rnn and _nnx_rnn(rnn))

    def initial_state(batch: int) -> Any:
        if variables is not None:
            return cell.initialize_carry(jax.random.key(0), (batch, *shape))
        from flax import nnx

        return cell.initialize_carry((batch, *shape), nnx.Rngs(0))

    def step(state: Any, obs: Any, reset: Any) -> tuple[Any, Any]:
        return call_cell(reset_by_rows(initial_state, state, reset), obs)

    return JaxPolicy(initial_state, step, unbroken=call_rnn, observation_shape=shape)


def _nnx_rnn(rnn: Any) -> Any:
    from flax import nnx

    graph, arrays = nnx.split(rnn)

    @jax.jit  # its parameters as an argument: nnx.scan takes no module from outside a trace
    def call(arrays: Any, carry: Any, obs: Any) -> Any:
        return nnx.merge(graph, arrays)(obs, initial_carry=carry, time_major=True, return_carry=True)

    return lambda carry, obs: call(arrays, carry, obs)


def _linen(cell: Any, rnn: Any, variables: Any) -> tuple[Any, Any]:
    """The calls of a linen cell, or of the cell inside an RNN, whose variables lie under "cell"."""
    if rnn is None:
        return lambda carry, x: cell.apply(variables, carry, x), None
    inner = {kind: tree.get("cell", tree) for kind, tree in variables.items()}
    return (
        lambda carry, x: cell.clone(parent=None, name=None).apply(inner, carry, x),
        lambda carry, obs: rnn.apply(variables, obs, initial_carry=carry, time_major=True, return_carry=True),
    )
