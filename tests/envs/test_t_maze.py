"""Both T-mazes against an independent map of cells, a scripted optimum, and all memoryless policies."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.envs import TMaze, make

RIGHT, UP, LEFT, DOWN = range(4)
NAMES = ["t-maze", "t-maze-active"]


class Maze:
    """The maze as a set of cells, one agent, plain Python."""

    def __init__(self, length, oracle_length, goal_y):
        self.end = oracle_length + length
        self.cells = {(x, 0) for x in range(self.end + 1)} | {(self.end, 1), (self.end, -1)}
        self.oracle_length, self.length, self.goal_y = oracle_length, length, goal_y
        self.horizon = length + 2 * oracle_length + 1
        self.at, self.time, self.cue_given = (oracle_length, 0), 0, False

    def look(self):
        x, y = self.at
        if x == 0:
            cue, self.cue_given = (0 if self.cue_given else self.goal_y), True
            return [0, cue]
        return [int(x == self.end), y]

    def move(self, action):
        dx, dy = {RIGHT: (1, 0), UP: (0, 1), LEFT: (-1, 0), DOWN: (0, -1)}[action]
        there = (self.at[0] + dx, self.at[1] + dy)
        self.at = there if there in self.cells else self.at
        self.time += 1
        if self.time == self.horizon:
            return self.look(), float(self.at[1] == self.goal_y), True
        behind = self.at[0] < self.time - self.oracle_length
        return self.look(), -1 / self.length if behind else 0.0, False


@cache
def starts(env):
    """The two starts, goal up and goal down, with the seeds that give them."""
    found, seed = {}, 0
    while len(found) < 2:
        obs, state = env.reset(jax.random.PRNGKey(seed))
        found[int(state.goal_y)] = (obs, state)
        seed += 1
    return found


@partial(jax.jit, static_argnums=0)
def act(env, obs, state, actions):
    def body(state, action):
        obs, state, reward, terminated, _ = env.step_env(jax.random.PRNGKey(0), state, action, env.default_params)
        return state, (obs, reward, terminated)

    _, (observations, rewards, terminated) = jax.lax.scan(body, state, actions)
    return jnp.concatenate([obs[None], observations]), rewards, terminated


def play(env, goal_y, actions):
    """Observations [T + 1, 2], rewards [T] and terminations [T] of a fixed list of actions."""
    return jax.tree.map(np.asarray, act(env, *starts(env)[goal_y], jnp.asarray(actions, jnp.int32)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 4])
def test_each_step_is_the_maze_of_cells(name, length):
    env = make(name, length=length)
    assert env.tables() is None
    rng = np.random.default_rng(length)
    # A walk towards the right half of the time, so that corridor, junction, arms and walls are all visited.
    for i in range(24):
        goal_y = 1 - 2 * (i % 2)
        maze = Maze(length, env.oracle_length, goal_y)
        actions = np.where(rng.random(maze.horizon) < 0.5, RIGHT, rng.integers(0, 4, maze.horizon))
        observations, rewards, terminated = play(env, goal_y, actions)
        np.testing.assert_array_equal(observations[0], maze.look())
        for t, action in enumerate(actions):
            obs, reward, done = maze.move(int(action))
            np.testing.assert_array_equal(observations[t + 1], obs)
            assert rewards[t] == np.float32(reward)
            assert terminated[t] == done


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 10, 50])
def test_the_scripted_optimum_scores_the_optimal_return_exactly(name, length):
    env = make(name, length=length)
    fetch = [LEFT] * env.oracle_length
    for goal_y, turn in ((1, UP), (-1, DOWN)):
        actions = [*fetch, *[RIGHT] * (length + env.oracle_length), turn]
        observations, rewards, terminated = play(env, goal_y, actions)
        assert float(rewards.sum()) == env.optimal_return
        assert len(actions) == env.max_episode_steps
        np.testing.assert_array_equal(terminated, [False] * (len(actions) - 1) + [True])
        # `required_lag` lies between the one observation that tells the goal and the choice at the junction.
        cue_at = np.flatnonzero((observations[:, 0] == 0) & (observations[:, 1] == goal_y))
        junction_at = np.flatnonzero(observations[:, 0] == 1)[0]
        assert junction_at - cue_at == [env.required_lag]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 10, 50])
def test_going_straight_without_memory_scores_the_memoryless_return(name, length):
    env = make(name, length=length)
    actions = [*[RIGHT] * length, *[UP] * (1 + 2 * env.oracle_length)]
    returns = [play(env, goal_y, actions)[1].sum() for goal_y in (1, -1)]
    assert float(np.mean(returns)) == env.memoryless_return


@pytest.mark.parametrize("active", [False, True])
def test_no_deterministic_memoryless_policy_is_better(active):
    """All 4^6 maps from the six observations to actions."""
    env = TMaze(length=2, active=active)
    policies = jnp.asarray(list(itertools.product(range(4), repeat=6)), jnp.int32)
    both = starts(env)
    first = jax.tree.map(lambda *rows: jnp.stack(rows), both[1], both[-1])

    def score(policy, obs, state):
        def body(carry, _):
            obs, state = carry
            code = (3 * obs[0] + obs[1] + 1).astype(jnp.int32)
            obs, state, reward, _, _ = env.step_env(jax.random.PRNGKey(0), state, policy[code], env.default_params)
            return (obs, state), reward

        return jax.lax.scan(body, (obs, state), None, length=env.max_episode_steps)[1].sum()

    over_goals = jax.vmap(score, in_axes=(None, 0, 0))
    returns = jax.jit(jax.vmap(over_goals, in_axes=(0, None, None)))(policies, *first).mean(axis=1)
    assert float(returns.max()) == env.memoryless_return


def test_the_goal_is_up_half_of_the_time():
    env = make("t-maze-active", length=3)
    _, state = jax.vmap(env.reset)(jax.random.split(jax.random.PRNGKey(0), 4096))
    assert abs(float(state.goal_y.astype(jnp.float32).mean())) < 5 / 64
    np.testing.assert_array_equal(jax.vmap(env.hidden_state)(state) == 1, state.goal_y == 1)


def test_the_horizon_terminates_and_never_truncates():
    env = make("t-maze", length=2)
    obs, state = env.reset(jax.random.PRNGKey(0))
    for t in range(3):
        obs, state, _, terminated, truncated, _ = env.step(jax.random.PRNGKey(t), state, jnp.int32(LEFT))
        assert (bool(terminated), bool(truncated)) == (t == 2, False)
    assert abs(float(obs[1])) == 1  # the next episode's cue
