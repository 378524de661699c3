"""What the adapters for JAX share: one compiled step, one compiled sequence, and the gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from throughtime.core import select_rows

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
Sequence = Callable[[Any, Any, Any], tuple[Any, Any]]


class JaxPolicy:
    """A policy of traceable functions, compiled once for each shape.

    Args:
        initial_state: of B rows.
        step: `(state, obs, reset) -> (state, out)`, traceable.
        sequence: `(state, obs, resets) -> (state, outs)`, traceable; by default a scan over `step`.
        unbroken: `(state, obs) -> (state, outs)`, traceable: what a library runs where no row is reset.
        observation_shape: of one observation.
        observation_space: or a space.
        observations: or what draws them, `(rng, T, B) -> [T, B, ...]`.
    """

    def __init__(
        self,
        initial_state: Callable[[int], Any],
        step: Step,
        sequence: Sequence | None = None,
        *,
        unbroken: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        observation_shape: tuple[int, ...] | None = None,
        observation_space: Any = None,
        observations: Callable[[np.random.Generator, int, int], Any] | None = None,
    ):
        self._initial = initial_state
        self._step = _quick_jit(step)
        self._traceable = sequence or _scan(step)
        self._sequence = _quick_jit(self._traceable)
        self._unbroken = None if unbroken is None else _quick_jit(unbroken)
        self._gradient = _quick_jit(jax.grad(self._weighted, argnums=1))
        self.observation_shape, self.observation_space = observation_shape, observation_space
        self.observations = observations

    def initial_state(self, batch: int) -> Any:
        """The state of `batch` rows before their first observation."""
        return self._initial(batch)

    def step(self, state: Any, obs: Any, reset: np.ndarray) -> tuple[Any, Any]:
        """One time step."""
        return self._step(state, obs, reset)

    def sequence(self, state: Any, obs: Any, resets: np.ndarray) -> tuple[Any, Any]:
        """All time steps."""
        if self._unbroken is not None and not np.any(resets):
            return self._unbroken(state, obs)
        return self._sequence(state, obs, resets)

    def gradient(self, state: Any, obs: Any, resets: np.ndarray, weights: Any) -> Any:
        """d(sum of weights · outs)/d(obs)."""
        return self._gradient(state, jax.tree.map(jnp.asarray, obs), resets, weights)

    def _weighted(self, state: Any, obs: Any, resets: Any, weights: Any) -> Any:
        _, outs = self._traceable(state, obs, resets)
        pairs = zip(jax.tree.leaves(outs), jax.tree.leaves(weights), strict=True)
        return sum(jnp.sum(w * out) for out, w in pairs if jnp.issubdtype(out.dtype, jnp.floating))


def _quick_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` that compiles in half the time, for programs that run a few times on small arrays."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def reset_by_rows(initial_state: Callable[[int], Any], state: Any, reset: Any) -> Any:
    """The initial state in the rows that are reset, by `where`; for networks that know of no resets."""
    return select_rows(reset, initial_state(reset.shape[0]), state)


def _scan(step: Step) -> Sequence:
    def sequence(state: Any, obs: Any, resets: Any) -> tuple[Any, Any]:
        return jax.lax.scan(lambda carry, xr: step(carry, *xr), state, (obs, resets))

    return sequence
