"""Action values in a table: what they learn towards, and how. Pure functions of one complete episode.

Reference: Sutton & Barto 2018, "Reinforcement learning: an introduction", chapters 5, 6 and 12.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class ActionValues(NamedTuple):
    """Q(s, a), and how often each was learned."""

    values: Float[Array, "S A"]
    visits: Float[Array, "S A"]


def no_values(states: int, actions: int) -> ActionValues:
    """All zeros."""
    return ActionValues(jnp.zeros((states, actions)), jnp.zeros((states, actions)))


def returns_to_go(rewards: Float[Array, "T *N"], discount: float = 1.0) -> Float[Array, "T *N"]:
    """G_t = r_t + γ G_{t+1}: the targets of Monte Carlo. Rewards behind an episode's end have to be 0.

    Of redistributed rewards the greedy targets are the rewards themselves: E[r'_t | s_t, a_t] = Q(s_t, a_t) − a term
    that no action at t changes (direct Q-value estimation; Arjona-Medina et al. 2019, section 3). That is γ = 0; where
    redistribution is not optimal yet, a γ below 1 counts in what comes a little late, and little of the noise after it.
    """

    def body(after: Array, reward: Array) -> tuple[Array, Array]:
        value = reward + discount * after
        return value, value

    return jax.lax.scan(body, jnp.zeros_like(rewards[0]), rewards, reverse=True)[1]


def lambda_targets(
    rewards: Float[Array, " T"],
    values: Float[Array, " T"],
    next_values: Float[Array, " T"],
    trace: float | Array,
    discount: float = 1.0,
) -> Float[Array, " T"]:
    """Q(s_t, a_t) + Σ_k (γλ)^k δ_{t+k}, with δ_t = r_t + γ max_a Q(s_{t+1}, a) − Q(s_t, a_t): TD(λ)'s targets.

    One sweep with these is what eligibility traces do step by step through the episode, wherever no state occurs in it
    twice (where time is part of the state). λ = 0 is Q-learning, λ = 1 Monte Carlo. Traces are not cut at exploring
    actions (Watkins' Q(λ) would): after the pocket watch's first step there are none.

    Args:
        rewards: r_t; 0 behind the end.
        values: Q(s_t, a_t) before the episode is learned from; 0 behind the end.
        next_values: max_a Q(s_{t+1}, a); 0 from the last step on.
        trace: λ in [0, 1].
        discount: γ.
    """
    deltas = rewards + discount * next_values - values
    return values + returns_to_go_traced(deltas, discount * trace)


def returns_to_go_traced(deltas: Float[Array, " T"], decay: float | Array) -> Float[Array, " T"]:
    """Σ_k decay^k δ_{t+k}."""

    def body(after: Array, delta: Array) -> tuple[Array, Array]:
        value = delta + decay * after
        return value, value

    return jax.lax.scan(body, jnp.zeros_like(deltas[0]), deltas, reverse=True)[1]


def learn_towards(
    table: ActionValues,
    states: Int[Array, " T"],
    actions: Int[Array, " T"],
    targets: Float[Array, " T"],
    inside: Bool[Array, " T"],
    step: float | Array,
) -> ActionValues:
    """Q(s, a) ← Q(s, a) + α (target − Q(s, a)) for each step of an episode, all from the values before it.

    Args:
        table: what is known.
        states: s_t.
        actions: a_t.
        targets: as above.
        inside: which steps belong to the episode.
        step: α; 0 for 1/n, which makes Q the mean of all targets.
    """
    rows = jnp.where(inside, states, table.values.shape[0])  # out of range: dropped
    visits = table.visits.at[rows, actions].add(1.0, mode="drop")
    n = visits.at[rows, actions].get(mode="fill", fill_value=1.0)
    old = table.values.at[rows, actions].get(mode="fill", fill_value=0.0)
    rate = jnp.where(jnp.asarray(step, jnp.float32) > 0, jnp.asarray(step, jnp.float32), 1.0 / n)
    return ActionValues(table.values.at[rows, actions].add(rate * (targets - old), mode="drop"), visits)


def mean_targets(
    table: ActionValues,
    states: Int[Array, "T N"],
    actions: Int[Array, "T N"],
    targets: Float[Array, "T N"],
    inside: Bool[Array, "T N"],
) -> ActionValues:
    """Q anew: the mean target of each (s, a) over all N episodes, with 0 where there is none.

    The same as `learn_towards` with 1/n over the episodes one by one, for targets that change with their predictor.

    Args:
        table: gives the shape.
        states: s_t of N episodes.
        actions: a_t.
        targets: of each step.
        inside: which steps belong to an episode.
    """
    rows = jnp.where(inside, states, table.values.shape[0])
    visits = jnp.zeros_like(table.visits).at[rows, actions].add(1.0, mode="drop")
    sums = jnp.zeros_like(table.values).at[rows, actions].add(targets, mode="drop")
    return ActionValues(sums / jnp.maximum(visits, 1.0), visits)
