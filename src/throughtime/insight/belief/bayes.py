"""The exact belief of a finite POMDP: the Bayes filter.

b_t(s) = P(s_t = s | o_0 … o_t, a_0 … a_{t−1}). With o_0 it begins as b_0 ∝ P(s_0) P(o_0 | s_0); each step acts, moves
and observes (Kaelbling, Littman & Cassandra 1998, section 3.3):

    b_t(s') ∝ P(o_t | a_{t−1}, s') Σ_s P(s' | s, a_{t−1}) [the episode goes on after s, a_{t−1}] b_{t−1}(s)

The bracket is part of what is known: a step after which the episode would have terminated was not taken in such a
state.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real

from throughtime.core import ConfigError, select_rows
from throughtime.envs import Tables

TOLERANCE = 1e-4  # observations that differ less from a row of the table are that observation


def bayes_filter(
    tables: Tables, observations: Int[Array, "T B"], actions: Int[Array, "T B"], resets: Bool[Array, "T B"]
) -> Float[Array, "T B S"]:
    """The belief after each observation; one compiled loop over time. Jittable, `tables` held fixed.

    Args:
        tables: the POMDP, S states.
        observations: which rows of `tables.observations` were seen.
        actions: `actions[t]` was taken after `observations[t]`; the last row is not read.
        resets: where `observations[t]` is the first of an episode; the belief begins anew, by `where`. The first row
            counts as true.

    Returns:
        `[T, B, S]`, summing to one over S. From an observation that cannot occur on, NaN until the next reset.
    """
    return _filter(*(jnp.asarray(x, jnp.zeros(()).dtype) for x in _numbers(tables)), observations, actions, resets)


def exact_belief(
    tables: Tables, observations: Real[np.ndarray, "T B ..."], actions: Int[np.ndarray, "T B"], resets: np.ndarray
) -> Float[np.ndarray, "T B S"]:
    """The belief after each observation, of observations as an agent sees them.

    Args:
        tables: the POMDP.
        observations: `[T, B, ...]`, each one a row of `tables.observations`.
        actions: as for `bayes_filter`.
        resets: `[T, B]` bool, as for `bayes_filter`.

    Raises:
        ConfigError: an observation that is not in the tables, or cannot occur where it was seen.
    """
    indices = observation_indices(tables, observations)
    beliefs = np.asarray(bayes_filter(tables, jnp.asarray(indices), jnp.asarray(actions), jnp.asarray(resets)))
    impossible = np.isnan(beliefs).any(axis=2)
    if impossible.any():
        t, b = np.argwhere(impossible)[0]
        raise ConfigError(
            f"Observation {indices[t, b]} at step {t} of row {b} has probability zero.",
            "By the environment's tables it cannot follow what was seen and done before it in its episode.",
            "Correct tables() or the environment's step: they disagree. (Do resets mark each first observation?)",
        )
    return beliefs


def observation_indices(tables: Tables, observations: Real[np.ndarray, "T B ..."]) -> Int[np.ndarray, "T B"]:
    """Which row of `tables.observations` each observation is.

    Args:
        tables: the POMDP, O observations.
        observations: `[T, B, ...]`.

    Raises:
        ConfigError: one that is none of them.
    """
    T, B = observations.shape[:2]
    seen, rows = np.unique(observations.reshape(T * B, -1), axis=0, return_inverse=True)
    known = tables.observations.reshape(len(tables.observations), -1)
    distances = np.abs(seen[:, None] - known[None]).max(axis=2)  # [distinct, O]
    nearest = distances.argmin(axis=1)
    if (far := distances.min(axis=1, initial=np.inf) > TOLERANCE).any():
        raise ConfigError(
            f"The observation {seen[far][0].tolist()} is not in the tables.",
            f"They hold {len(known)} observations, and none of them is that.",
            "Correct `observations` of the environment's tables().",
        )
    return nearest[rows].reshape(T, B).astype(np.int32)


def _numbers(tables: Tables) -> tuple[np.ndarray, ...]:
    """P(s_0, o_0) `[O, S]`; P(s', the episode goes on | s, a) `[A, S, S']`; P(o | a, s') `[A, O, S']`."""
    goes_on = np.where(tables.terminal[:, :, None], 0.0, tables.transition)
    first = (tables.initial[:, None] * tables.first_observation).T
    return first, goes_on.transpose(1, 0, 2), tables.observation.transpose(0, 2, 1)


@jax.jit
def _filter(
    first: Float[Array, "O S"],
    moves: Float[Array, "A S S"],
    sees: Float[Array, "A O S"],
    observations: Int[Array, "T B"],
    actions: Int[Array, "T B"],
    resets: Bool[Array, "T B"],
) -> Float[Array, "T B S"]:
    B, S = observations.shape[1], first.shape[1]

    def body(carry, inputs):
        belief, action = carry
        observation, next_action, reset = inputs
        moved = jnp.einsum("bs,bsn->bn", belief, moves[action]) * sees[action, observation]
        joint = select_rows(reset, first[observation], moved)
        belief = joint / jnp.sum(joint, axis=1, keepdims=True)
        return (belief, next_action), belief

    begin = (jnp.zeros((B, S), first.dtype), jnp.zeros(B, actions.dtype))
    resets = resets.at[:1].set(True)
    return jax.lax.scan(body, begin, (observations, actions, resets))[1]
