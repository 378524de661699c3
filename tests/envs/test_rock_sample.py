"""RockSample against a plain rover, its accuracy of sight by counting, and small ones solved from their tables."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pomdp_solver import optimal_value

from throughtime.core import ConfigError
from throughtime.envs import RockSample, make, solve, solve_memoryless
from throughtime.envs.suite._rock_sample_tables import SOLVED

pytestmark = pytest.mark.usefixtures("quick_compiler")


class Rover:
    """POBAX's rules in plain Python, without what a check tells."""

    def __init__(self, size, rocks, at, good):
        self.size, self.rocks, self.at, self.good = size, [tuple(r) for r in rocks], tuple(at), list(good)

    def act(self, action):
        reward = 0.0
        if action < 4:
            dr, dc = ((-1, 0), (0, 1), (1, 0), (0, -1))[action]
            self.at = (min(max(self.at[0] + dr, 0), self.size - 1), min(max(self.at[1] + dc, 0), self.size - 1))
        elif action == 4 and self.at in self.rocks:
            i = self.rocks.index(self.at)
            reward, self.good[i] = 10.0 if self.good[i] else -10.0, False
        out = self.at[1] == self.size - 1
        return reward + 10.0 * out, out


@pytest.mark.parametrize(("size", "rocks", "layout"), [(3, 2, 0), (4, 6, 1), (11, 11, 0)])
def test_each_step_is_the_rovers(size, rocks, layout):
    env = make("rock-sample", size=size, rocks=rocks, layout=layout)
    step, reset, rng = jax.jit(env.step_env), jax.jit(env.reset_env), np.random.default_rng(0)
    sampled, told = {10.0: 0, -10.0: 0, 0.0: 0}, 0
    assert len({tuple(r) for r in env.rock_positions}) == rocks
    assert env.rock_positions[:, 1].max() < size - 1
    for episode in range(20):
        obs, state = reset(jax.random.key(episode), env.default_params)
        rover = Rover(size, env.rock_positions.tolist(), np.asarray(state.position).tolist(), np.asarray(state.good))
        action, goal, done = 0, env.rock_positions[rng.integers(rocks)].tolist(), False
        for _ in range(60):
            cell = np.concatenate([np.eye(size)[rover.at[0]], np.eye(size)[rover.at[1]]])
            np.testing.assert_array_equal(obs[: 2 * size], cell)
            rock = np.asarray(obs[2 * size :])
            np.testing.assert_array_equal(np.flatnonzero(rock), [] if action < 5 else [action - 5])
            assert set(np.abs(rock)) <= {0.0, 1.0}
            np.testing.assert_array_equal(state.good, rover.good)
            if done:
                break
            kind = rng.random()
            if kind < 0.5 and rover.at != tuple(goal):  # to a rock
                action = (
                    (2 if goal[0] > rover.at[0] else 0) if goal[0] != rover.at[0] else 3 - 2 * (goal[1] > rover.at[1])
                )
            else:
                action = 4 if kind < 0.7 else int(rng.integers(5 + rocks))
            pay, done = rover.act(action)
            obs, state, reward, terminated, _ = step(
                jax.random.key(int(rng.integers(2**31))), state, jnp.int32(action), env.default_params
            )
            assert (float(reward), bool(terminated)) == (pay, done)
            sampled[pay] = sampled.get(pay, 0) + (action == 4)
            told += action >= 5
    assert min(sampled.values()) > 0
    assert told > 20


def test_checks_are_right_as_often_as_their_distance_says():
    env, n = RockSample(size=11, rocks=11), 4000
    _, state = env.reset(jax.random.key(0))
    keys, check = jax.random.split(jax.random.key(1), n), jax.jit(jax.vmap(env.step_env, in_axes=(0, None, None, None)))
    for rock in range(11):
        obs, after, _, _, _ = check(keys, state, jnp.int32(5 + rock), env.default_params)
        right = np.mean((np.asarray(obs[:, 22 + rock]) > 0) == bool(state.good[rock]))
        distance = math.dist(np.asarray(state.position).tolist(), env.rock_positions[rock].tolist())
        expected = (1 + 2 ** (-distance / 20)) / 2
        assert abs(right - expected) < 5 * np.sqrt(0.25 / n)
        assert bool((after.good == state.good[None]).all())


def test_starts_and_rocks_are_drawn_evenly():
    env, n = RockSample(size=3, rocks=2), 4000
    _, state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(2), n))
    found, counts = np.unique(state.position, axis=0, return_counts=True)
    np.testing.assert_array_equal(found, [(r, c) for r in range(3) for c in range(2)])
    assert (np.abs(counts / n - 1 / 6) < 5 * np.sqrt(5 / 36 / n)).all()
    both = np.asarray(state.good, float)
    assert (np.abs(both.mean(axis=0) - 0.5) < 2.5 / np.sqrt(n)).all()
    assert abs(np.cov(both.T)[0, 1]) < 5 * 0.25 / np.sqrt(n)


@pytest.mark.parametrize(
    "small", [pytest.param(small, marks=() if small == (3, 1, 0) else pytest.mark.slow) for small in SOLVED]
)
def test_small_ones_are_solved(small):
    """By bounds that meet; the smallest also by its whole belief tree, and without memory by branch and bound."""
    env = RockSample(*small)
    bounds = solve(env.tables(), env.discount, gap=1e-6, seconds=30.0)
    assert bounds.upper - bounds.lower < 1e-4
    assert env.optimal_return == pytest.approx(bounds.lower, abs=1e-4)
    if small == (2, 1, 0):
        lower, upper = optimal_value(env.tables(), env.discount, tiny=1e-6)
        assert lower - 1e-3 < env.optimal_return < upper + 1e-3
        assert upper - lower < 0.01
        without = solve_memoryless(env.tables(), env.discount, gap=1e-4, seconds=30.0)
        assert without.lower <= env.memoryless_return
        assert env.memoryless_return == pytest.approx(without.upper, abs=1e-3)


def test_large_ones_have_no_tables_and_tell_the_rocks():
    env = RockSample()
    assert (env.tables(), env.optimal_return, env.memoryless_return) == (None, None, None)
    _, state = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(env.hidden_state(state), state.good)


def test_layouts_are_fixed_by_their_number():
    one, other = RockSample(layout=0), RockSample(layout=1)
    np.testing.assert_array_equal(one.rock_positions, RockSample(layout=0, time_limit=5).rock_positions)
    assert not np.array_equal(one.rock_positions, other.rock_positions)


def test_a_drawing_shows_rocks_rover_and_exit():
    env = RockSample(size=3, rocks=2)
    _, state = env.reset(jax.random.key(0))
    (r0, c0), (r1, c1) = env.rock_positions.tolist()
    free = next((r, c) for r in range(3) for c in range(2) if (r, c) not in ((r0, c0), (r1, c1)))
    state = state._replace(position=jnp.array(free, jnp.int32), good=jnp.array([True, False]))
    drawing = env.draw(state)
    grid = [line.split(" ") for line in drawing.text.splitlines()[:3]]
    assert (grid[r0][c0], grid[r1][c1], grid[free[0]][free[1]]) == ("0", "1", "@")
    assert [row[2] for row in grid] == ["|"] * 3
    assert drawing.text.endswith("good rocks: 0")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"size": 2, "rocks": 3}, "fit"),
        ({"rocks": 0}, "rocks"),
        ({"layout": -1}, "layout"),
        ({"time_limit": 0}, "limit"),
    ],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        make("rock-sample", **options)
