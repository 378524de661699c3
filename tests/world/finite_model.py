"""A world model of a small finite problem, from tables, and what is best in it by trying everything, in NumPy."""

import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from throughtime.core import select_rows
from throughtime.envs import Discrete
from throughtime.world import WorldModel


class FiniteState(NamedTuple):
    index: Any


class FiniteModel(WorldModel):
    """`imagine` looks up the next state, the reward and the probability of going on; observations are state indices."""

    successor: Any  # [S, A]
    reward: Any
    goes_on: Any
    observation_size: int = eqx.field(static=True, default=1)
    action_space: Any = eqx.field(static=True, default=Discrete(2))

    def start(self, batch_size):
        return FiniteState(jnp.zeros(batch_size, jnp.int32))

    def observe(self, state, action_tm1, observation_t, reset_t, key=None):
        after = self.successor[state.index, action_tm1]
        return FiniteState(select_rows(reset_t, observation_t[:, 0].astype(jnp.int32), after))

    def imagine(self, state, action_t, key=None):
        here = state.index, action_t
        return FiniteState(self.successor[here]), self.reward[here], self.goes_on[here]

    def decode(self, state, key=None):
        return state.index[:, None].astype(jnp.float32)


def random_tables(seed, states=5, actions=3):
    """Successors, rewards and continuations; some steps end the episode for certain."""
    rng = np.random.default_rng(seed)
    shape = (states, actions)
    goes_on = np.where(rng.random(shape) < 0.2, 0.0, rng.uniform(0.3, 1.0, shape))
    return rng.integers(0, states, shape), rng.normal(size=shape), goes_on


def model_of(tables):
    successor, reward, goes_on = tables
    return FiniteModel(
        jnp.asarray(successor, jnp.int32),
        jnp.asarray(reward, jnp.float32),
        jnp.asarray(goes_on, jnp.float32),
        action_space=Discrete(successor.shape[1]),
    )


def all_returns(tables, start, horizon, discount, terminal=None):
    """The expected return of each action sequence from a state: {sequence: return}."""
    successor, reward, goes_on = tables
    found = {}
    for sequence in itertools.product(range(successor.shape[1]), repeat=horizon):
        s, chance, total = start, 1.0, 0.0
        for h, a in enumerate(sequence):
            total += discount**h * chance * reward[s, a]
            chance *= goes_on[s, a]
            s = successor[s, a]
        found[sequence] = total + (0.0 if terminal is None else discount**horizon * chance * terminal[s])
    return found
