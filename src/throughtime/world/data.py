"""What a world model learns from: sequences of what was seen, done and paid, with their true successors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import ConfigError, NonFiniteError, select_rows
from throughtime.envs import Box, Discrete, Environment, Space, VectorEnvironment, raise_error_of, release
from throughtime.rl import MultiCategorical, random_actions

Kind = str
"""What observations are: one of `KINDS`."""
KINDS = ("categorical", "binary", "continuous")


class Sequences(NamedTuple):
    """T steps of B environments, `[T, B, ...]`; step t is: o_t was seen, a_t done, r_{t+1} paid, o_{t+1} seen then.

    Inside an episode `successors[t]` is `observations[t + 1]`. Where the episode ended with step t, it is the true
    last observation, and `observations[t + 1]` the first of the next episode (`resets[t + 1]` is true there).
    """

    observations: Float[Array, "T B O"]  # o_t, flattened
    resets: Bool[Array, "T B"]  # o_t is the first of its episode
    actions: Array  # a_t as the environment takes it
    rewards: Float[Array, "T B"]  # r_{t+1}: paid for a_t
    terminated: Bool[Array, "T B"]  # by a_t
    truncated: Bool[Array, "T B"]  # after a_t; says nothing about continuation
    successors: Float[Array, "T B O"]  # o_{t+1}, the final observation where the episode ended


class Behaviour(NamedTuple):
    """Who acts while sequences are collected: anything with a state `[B, ...]`."""

    start: Callable[[int, PRNGKeyArray], Any]
    """(B, key) → the state before the first step."""
    act: Callable[[Any, Array, Bool[Array, " B"], PRNGKeyArray], tuple[Any, Array]]
    """(state, observations `[B, ...]`, resets `[B]`, key) → the next state and B actions."""


def random_behaviour(space: Space) -> Behaviour:
    """Draws each action uniformly over the space.

    Raises:
        ConfigError: a space without bounds.
    """
    _refuse_unbounded(space)

    def act(state: Any, observation: Array, reset: Array, key: PRNGKeyArray) -> tuple[Any, Array]:
        del observation
        return state, random_actions(space, key, (reset.shape[0],))

    return Behaviour(lambda batch_size, key: (), act)


def varied_behaviour(space: Space) -> Behaviour:
    """Random, but not alike in all episodes: each draws action probabilities of its own, and its actions from these.

    The probabilities come from a flat Dirichlet distribution, for each of several actions side by side; they know
    nothing of the task. Long runs of one action, of which uniform draws have next to none, are seen then too.
    Continuous actions: each episode draws a mean and a width, and its actions uniformly around it, within bounds.
    """
    _refuse_unbounded(space)
    if isinstance(space, Box):
        middle, half = 0.5 * (space.high + space.low), 0.5 * (space.high - space.low)

        def draw(key: PRNGKeyArray, batch_size: int) -> Array:
            return jax.random.uniform(key, (batch_size, 2, *space.shape), jnp.float32, -1.0, 1.0)

        def choose(state: Array, key: PRNGKeyArray) -> Array:
            mean, width = state[:, 0], 1.0 + state[:, 1]
            noise = jax.random.uniform(key, mean.shape, jnp.float32, -1.0, 1.0)
            return middle + half * jnp.clip(mean + width * noise, -1.0, 1.0)
    else:
        sizes = (space.n,) if isinstance(space, Discrete) else space.sizes

        def draw(key: PRNGKeyArray, batch_size: int) -> Array:
            parts = zip(jax.random.split(key, len(sizes)), sizes, strict=True)
            return jnp.concatenate([jax.random.dirichlet(k, jnp.ones(n), (batch_size,)) for k, n in parts], axis=-1)

        def choose(state: Array, key: PRNGKeyArray) -> Array:
            distribution = MultiCategorical(jnp.log(state), sizes)
            actions = distribution.sample(MultiCategorical.noise(key, state.shape[:1], len(sizes)))
            return actions[:, 0] if isinstance(space, Discrete) else actions

    def act(state: Array, observation: Array, reset: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        del observation
        key_draw, key_choose = jax.random.split(key)
        state = select_rows(reset, draw(key_draw, reset.shape[0]), state)
        return state, choose(state, key_choose)

    return Behaviour(lambda batch_size, key: draw(key, batch_size), act)


BEHAVIOURS: dict[str, Callable[[Space], Behaviour]] = {"uniform": random_behaviour, "varied": varied_behaviour}
"""Ways to act at random."""


def play(vector: VectorEnvironment, behaviour: Behaviour, steps: int, key: PRNGKeyArray) -> tuple[Any, Sequences]:
    """The loop of `collect`, to be compiled: the environments' last states, and what happened."""
    key_reset, key_start, key_steps = jax.random.split(key, 3)
    observation, state = vector.reset(key_reset)
    B = vector.batch_size

    def body(carry: Any, key: PRNGKeyArray) -> tuple[Any, Sequences]:
        state, observation, reset, acting = carry
        key_act, key_env = jax.random.split(key)
        acting, action = behaviour.act(acting, observation, reset, key_act)
        out = vector.step(key_env, state, action)
        now, after = (x.reshape(B, -1) for x in (observation, out.final_observation))
        row = Sequences(now, reset, action, out.reward, out.terminated, out.truncated, after)
        return (out.state, out.obs, out.terminated | out.truncated, acting), row

    carry = (state, observation, jnp.ones(B, bool), behaviour.start(B, key_start))
    carry, sequences = jax.lax.scan(body, carry, jax.random.split(key_steps, steps))
    return carry[0], sequences


def collect(
    env: Environment, behaviour: Behaviour | None, *, batch_size: int, steps: int, key: PRNGKeyArray
) -> Sequences:
    """Acts for `steps` steps in each of `batch_size` environments, all at the start of an episode; one compiled loop.

    Args:
        env: where.
        behaviour: who acts; uniformly random where None.
        batch_size: B.
        steps: T; episodes that end sooner are followed by others.
        key: for everything.

    Raises:
        ConfigError: no steps or environments.
        NonFiniteError: an observation or a reward that is NaN or infinite.
    """
    if batch_size < 1 or steps < 1:
        raise ConfigError(
            f"{steps} steps in {batch_size} environments", "There is nothing to learn from.", "Give more."
        )
    behaviour = random_behaviour(env.action_space) if behaviour is None else behaviour
    vector = VectorEnvironment(env, batch_size)
    state, sequences = jax.jit(lambda key: play(vector, behaviour, steps, key))(key)
    try:
        raise_error_of(env, state)
    finally:
        release(env, state)
    finite = [bool(jnp.isfinite(x).all()) for x in (sequences.observations, sequences.rewards, sequences.successors)]
    if not all(finite):
        raise NonFiniteError(
            f"{env.name} gave a NaN or an infinite value.",
            "A world model cannot learn an observation or a reward that is not finite.",
            "Correct the environment's step.",
        )
    return sequences


def kind_of(observations: Float[Array | np.ndarray, "*batch O"]) -> Kind:
    """What these observations are.

    Returns:
        "categorical" where each is one-hot (or always the same number 1), "binary" where all numbers are 0 or 1, else
        "continuous".
    """
    seen = np.asarray(observations).reshape(-1, observations.shape[-1])
    if not np.isin(seen, (0.0, 1.0)).all():
        return "continuous"
    return "categorical" if (seen.sum(axis=1) == 1).all() else "binary"


def _refuse_unbounded(space: Space) -> None:
    if isinstance(space, Box) and not np.isfinite([space.low, space.high]).all():
        raise ConfigError(
            f"The action space has the bounds {space.low} and {space.high}.",
            "Nothing can be drawn uniformly from it.",
            "Give the environment's actions finite bounds, or another behaviour.",
        )
