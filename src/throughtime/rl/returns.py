"""Advantages and returns, with termination and truncation apart."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def true_next_values(
    values: Float[Array, "T B"],
    last_values: Float[Array, " B"],
    final_values: Float[Array, "T B"],
    truncated: Bool[Array, "T B"],
) -> Float[Array, "T B"]:
    """The value of each step's true successor, V(next_t).

    Inside an episode that is the next step's value; where the episode was truncated it is the value of its final
    observation, never that of the first one of the next episode. (Where it terminated the value is not used.)

    Args:
        values: V(obs_t) as acted, `[T, B]`.
        last_values: V(obs_T), `[B]`.
        final_values: V(final observation), valued with the memory carried into it; read where `truncated` only.
        truncated: whether step t's episode was cut by its time limit.
    """
    following = jnp.concatenate([values[1:], last_values[None]])
    return jnp.where(truncated, final_values, following)


def generalised_advantages(
    rewards: Float[Array, "T B"],
    values: Float[Array, "T B"],
    next_values: Float[Array, "T B"],
    terminated: Bool[Array, "T B"],
    truncated: Bool[Array, "T B"],
    *,
    discount: float,
    trace: float,
) -> Float[Array, "T B"]:
    """GAE(λ): A_t = δ_t + γλ (1 − ended_t) A_{t+1}, with δ_t = r_t + γ (1 − terminated_t) V(next_t) − V_t.

    The trace is cut where the episode terminated or was truncated; the bootstrap is dropped only where it
    terminated. A step with both flags counts as terminated. Reference: Schulman et al. 2016, arXiv 1506.02438,
    equation 16.

    Args:
        rewards: r_t, `[T, B]`.
        values: V_t, `[T, B]`.
        next_values: V(next_t), see `true_next_values`; may be anything, even NaN, where `terminated`.
        terminated: the step ended the episode for good.
        truncated: a time limit cut the episode after this step.
        discount: γ in [0, 1].
        trace: λ in [0, 1].

    Returns:
        Advantages `[T, B]`; the value targets are `advantages + values`.
    """
    deltas = rewards + discount * jnp.where(terminated, 0.0, next_values) - values
    decays = jnp.where(terminated | truncated, 0.0, discount * trace)

    def body(advantage, inputs):
        delta, decay = inputs
        advantage = delta + decay * advantage
        return advantage, advantage

    start = jnp.zeros_like(values[0]) if len(values) else jnp.zeros(values.shape[1:], values.dtype)
    return jax.lax.scan(body, start, (deltas, decays), reverse=True, unroll=8)[1]
