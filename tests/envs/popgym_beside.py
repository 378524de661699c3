"""POPGym's environments stepped on what ours drew at random, and ours on the actions that theirs were given."""

import importlib
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("popgym")
from gymnasium.spaces import flatten

LEVELS = ("easy", "medium", "hard")


class Draws:
    """Stands in for a random generator: hands out what was drawn already, by method, in order."""

    def __init__(self, **drawn):
        self.drawn = {method: list(values) for method, values in drawn.items()}

    def shuffle(self, array):
        array[:] = self.drawn["shuffle"].pop(0)

    def choice(self, values, size, replace):
        assert not replace
        chosen = self.drawn["choice"].pop(0)
        assert len(chosen) == size
        return values[chosen]

    def random(self, size=None, dtype=None):
        return self.drawn["random"].pop(0)

    def normal(self, mean, sigma):
        return mean + sigma * self.drawn["normal"].pop(0)


def original(module, name, level, **drawn):
    """Theirs, which draws what is given."""
    theirs = getattr(importlib.import_module(f"popgym.envs.{module}"), f"{name}{level.capitalize()}")()
    theirs.np_random = Draws(**drawn)
    return theirs


@dataclass
class Episode:
    """What theirs did: first observation, then one of everything a step."""

    observations: list[Any]
    actions: list[Any] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminated: list[bool] = field(default_factory=list)
    truncated: list[bool] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)  # before the step


def episode_of(theirs, choose, hidden):
    """Steps theirs, which has just to be reset, to the end of its episode."""
    observe = lambda obs: flatten(theirs.observation_space, obs).astype(np.float32)  # noqa: E731
    episode, done = Episode([observe(theirs.reset()[0])]), False
    while not done:
        action = choose(theirs)
        episode.hidden.append(np.asarray(hidden(theirs), np.float32))
        obs, reward, terminated, truncated, _ = theirs.step(action)
        episode.observations.append(observe(obs))
        episode.actions.append(action)
        episode.rewards.append(reward)
        episode.terminated.append(bool(terminated))
        episode.truncated.append(bool(truncated))
        done = terminated or truncated
    return episode


def play(env, keys, states, actions):
    """Ours, without resets: keys [T, B], states [B, ...], actions [T, B, ...] -> obs, reward, ends, hidden [T, B]."""

    @jax.jit
    def run(keys, states, actions):
        params = env.default_params

        def body(states, inputs):
            obs, after, reward, terminated, _ = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
                inputs[0], states, inputs[1], params
            )
            truncated = jax.vmap(env.is_truncated, in_axes=(0, None))(after, params)
            return after, (obs, reward, terminated, truncated, jax.vmap(env.hidden_state)(states))

        return jax.lax.scan(body, states, (keys, actions))[1]

    return jax.tree.map(np.asarray, run(keys, states, actions))


def assert_it_steps_alike(env, theirs_of, choices, hidden=lambda theirs: 0.0, seed=0):
    """One episode for each way to choose actions.

    Args:
        env: ours.
        theirs_of: a function of one of our initial states and its episode's keys: theirs, with our draws in it.
        choices: for each episode a function of theirs and a NumPy generator: the next action.
        hidden: a function of theirs: what our `hidden_state` should be.
        seed: of everything.

    Returns:
        The episodes of theirs.
    """
    B, rng = len(choices), np.random.default_rng(seed)
    T = env.max_episode_steps
    keys = jax.random.split(jax.random.PRNGKey(seed), (T + 1) * B).reshape(T + 1, B, -1)
    first, states = jax.jit(jax.vmap(env.reset))(keys[T])
    episodes = []
    for b, choose in enumerate(choices):
        theirs = theirs_of(jax.tree.map(lambda a: np.asarray(a[b]), states), keys[:T, b])  # noqa: B023
        episodes.append(episode_of(theirs, lambda theirs: choose(theirs, rng), hidden))  # noqa: B023
        np.testing.assert_array_equal(first[b], episodes[-1].observations[0])
    lengths = [len(episode.actions) for episode in episodes]
    assert max(lengths) <= T
    actions = np.zeros((T, B, *np.shape(episodes[0].actions[0])), np.int32)
    for b, episode in enumerate(episodes):
        actions[: lengths[b], b] = episode.actions
    obs, reward, terminated, truncated, ours_hidden = play(env, keys[:T], states, jnp.asarray(actions))
    for b, (episode, n) in enumerate(zip(episodes, lengths, strict=True)):
        np.testing.assert_array_equal(obs[:n, b], episode.observations[1:])
        np.testing.assert_array_equal(reward[:n, b], np.float32(episode.rewards))
        np.testing.assert_array_equal(terminated[:n, b], episode.terminated)
        np.testing.assert_array_equal(truncated[:n, b], episode.truncated)
        np.testing.assert_allclose(ours_hidden[:n, b], episode.hidden, rtol=1e-6)
    return episodes


def mixed(right, share):
    """A way to choose: the right action with that probability, else any."""

    def choose(theirs, rng):
        if rng.random() < share:
            return right(theirs, rng)
        space = theirs.action_space
        return rng.integers(space.nvec) if hasattr(space, "nvec") else int(rng.integers(space.n))

    return choose
