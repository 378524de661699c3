"""Key to door against a plain program of its three rooms, and the optimum without apples by a fixed sweep."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.envs.suite.key_to_door import KEYS, STARTS, TREES, KeyToDoorState

pytestmark = pytest.mark.usefixtures("quick_compiler")

NORTH, SOUTH, WEST, EAST = range(4)
STEPS = {NORTH: (-1, 0), SOUTH: (1, 0), WEST: (0, -1), EAST: (0, 1)}
# The floors as sets of cells, (row, column) of a board of 7 × 11.
ROOM = {(r, c) for r in (1, 2, 4, 5) for c in range(3, 8)} | {(3, 4), (3, 5), (3, 6)}
ORCHARD = {(r, c) for r in range(1, 6) for c in range(1, 10)}
FRONT = {(r, c) for r in (2, 3, 4) for c in (4, 5, 6)}
WALLS = (
    {(r, c) for r in range(7) for c in range(2, 9)} - ROOM,
    {(r, c) for r in range(7) for c in range(11)} - ORCHARD,
    {(r, c) for r in range(1, 6) for c in range(3, 8)} - FRONT - {(1, 5)},
)


class Game:
    """One episode, phase by phase, each with a clock of its own; apples by the frame in which each was last picked."""

    def __init__(self, start, key, trees, distractor):
        self.frames, self.distractor = [15, distractor, 10], distractor
        self.phase, self.frame, self.at, self.key, self.has_key, self.lit = 0, 0, start, key, False, False
        self.apples = dict.fromkeys(trees, True)  # whether it hangs there
        self.picked, self.paid = {}, False

    def look(self):
        """The cells in sight, by layer."""
        things = [WALLS[self.phase], set(), set(), set(), set()]
        if self.phase == 0:
            things[1] = set() if self.has_key else {self.key}
            things[4] = {(0, 5)} if self.lit else set()
        elif self.phase == 1:
            things[3] = {cell for cell, there in self.apples.items() if there} - {self.at}
        else:
            things[2] = {(1, 5)}
        window = [(self.at[0] + dr, self.at[1] + dc) for dr in range(-2, 3) for dc in range(-2, 3)]
        return np.array([[cell in layer for cell in window] for layer in things], float).ravel()

    def play(self, action):
        """Reward, and whether the episode is over."""
        self.frame += 1
        r, c = self.at[0] + STEPS[action][0], self.at[1] + STEPS[action][1]
        shut = self.phase == 2 and (r, c) == (1, 5) and not self.has_key
        if 0 <= r < 7 and 0 <= c < 11 and (r, c) not in WALLS[self.phase] and not shut:
            self.at = (r, c)
        reward, self.lit = 0.0, False
        if self.phase == 0 and self.at == self.key and not self.has_key:
            self.has_key = self.lit = True
        if self.phase == 1:
            if self.apples.get(self.at):
                self.apples[self.at], self.picked[self.at], reward = False, self.frame, 1.0
            for cell, when in self.picked.items():
                if self.frame > when + 20:
                    self.apples[cell] = True
                    self.picked = {k: v for k, v in self.picked.items() if k != cell}
        if self.phase == 2 and self.at == (1, 5) and not self.paid:
            self.paid, reward = True, 5.0
        if self.frame == self.frames[self.phase]:
            if self.phase == 2:
                return reward, True
            self.phase, self.frame = self.phase + 1, 0
            self.at = (5, 5) if self.phase == 1 else (3, 5)
        return reward, False


def towards(at, goal):
    """Through the first room's gap where need be."""
    if (at[0] > 3) != (goal[0] > 3) or 3 in (at[0], goal[0]):
        if at[1] < 4:
            return EAST
        if at[1] > 6:
            return WEST
        return NORTH if goal[0] < at[0] else SOUTH
    if at[1] != goal[1]:
        return EAST if at[1] < goal[1] else WEST
    return NORTH if goal[0] < at[0] else SOUTH


@pytest.mark.parametrize(("distractor", "apples"), [(60, 10), (47, 22), (3, 0)])
def test_each_step_is_the_game(distractor, apples):
    env = make("key-to-door", distractor=distractor, apples=apples)
    step, reset = jax.jit(env.step_env), jax.jit(env.reset_env)
    rng, opened, shut, returned = np.random.default_rng(apples), 0, 0, 0
    for episode in range(6):
        obs, state = reset(jax.random.key(episode), env.default_params)
        trees = [tuple(map(int, cell)) for cell, ripe in zip(TREES, state.ripe, strict=True) if ripe == 0]
        assert len(trees) == apples
        game = Game(tuple(map(int, state.position)), tuple(map(int, state.key)), trees, distractor)
        np.testing.assert_array_equal(obs, game.look())
        done, pace = False, 0
        while not done:
            action = int(rng.integers(4))
            if game.phase == 0 and episode % 3 and not game.has_key:
                action = towards(game.at, game.key)
            elif game.phase == 1 and rng.random() < 0.8:  # back and forth, so that apples grow again
                pace = (pace + 1) % 22
                action = NORTH if pace < 4 else WEST if pace < 8 else EAST if pace < 15 else SOUTH
            elif game.phase == 2 and rng.random() < 0.7:
                action = NORTH
            hung = dict(game.apples)
            pay, done = game.play(action)
            returned += any(there and not hung[cell] for cell, there in game.apples.items())
            obs, state, reward, terminated, _ = step(jax.random.key(0), state, jnp.int32(action), env.default_params)
            assert (float(reward), bool(terminated)) == (pay, done)
            if not done:
                np.testing.assert_array_equal(obs, game.look())
            assert int(env.hidden_state(state)) == game.has_key
        opened, shut = opened + game.paid, shut + (not game.has_key)
    assert min(opened, shut) > 0
    assert (returned > 0) == (apples > 0)


def test_a_fixed_sweep_finds_each_key_and_scores_the_optimum():
    """From each start, known from the walls in sight, to the gap and over all ten cells: 14 steps at most."""
    env = make("key-to-door", distractor=2, apples=0)
    sweep = [NORTH, WEST, WEST, NORTH, EAST, EAST, EAST, EAST, SOUTH, WEST]
    rows = []
    for row, column in STARTS:
        to_gap = [EAST] * (5 - column) + [WEST] * (column - 5) + [NORTH] * (row - 3)
        explore = (to_gap + sweep + [SOUTH] * 15)[:15]
        assert len(to_gap) + len(sweep) <= 15
        rows.append(explore + [NORTH] * 12)
    pairs = list(itertools.product(range(len(STARTS)), range(len(KEYS))))
    assert len(pairs) == 100
    start, key = (np.array(x) for x in zip(*pairs, strict=True))
    actions = jnp.asarray(np.array(rows)[start].T, jnp.int32)
    _, blank = env.reset(jax.random.key(0))
    state = jax.tree.map(lambda x: jnp.broadcast_to(x, (100, *x.shape)), blank)
    state = KeyToDoorState(jnp.asarray(STARTS[start]), jnp.asarray(KEYS[key]), *state[2:])

    def body(state, action):
        out = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))(jax.random.key(0), state, action, env.default_params)
        return out[1], (out[2], out[3])

    first = jax.jit(jax.vmap(env._observe))(state)
    _, (rewards, terminated) = jax.jit(lambda s, a: jax.lax.scan(body, s, a))(state, actions)
    np.testing.assert_array_equal(rewards.sum(axis=0), env.optimal_return)
    np.testing.assert_array_equal(np.asarray(terminated).sum(axis=0), 1)
    assert bool(terminated[-1].all())
    walls = np.asarray(first)[:, :25]  # each start looks different
    assert len(np.unique(walls, axis=0)) == len(STARTS)


def test_starts_keys_and_trees_are_drawn_from_all_of_theirs():
    env, n = make("key-to-door"), 2000
    _, state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(5), n))
    for cells, drawn in ((STARTS, state.position), (KEYS, state.key)):
        found, counts = np.unique(drawn, axis=0, return_counts=True)
        np.testing.assert_array_equal(found, cells)
        assert (np.abs(counts / n - 0.1) < 5 * np.sqrt(0.09 / n)).all()
    bearing = np.asarray(state.ripe == 0)
    assert (bearing.sum(axis=1) == 10).all()
    assert (np.abs(bearing.mean(axis=0) - 10 / 22) < 5 * 0.5 / np.sqrt(n)).all()


def test_a_drawing_shows_the_room_and_what_is_held():
    env = make("key-to-door", apples=0)
    _, blank = env.reset(jax.random.key(0))
    state = blank._replace(position=jnp.array([4, 3], jnp.int32), key=jnp.array([1, 5], jnp.int32))
    lines = env.draw(state).text.splitlines()
    assert lines[:3] == ["  #######  ", "  #  k  #  ", "  #     #  "]
    assert lines[4] == "  #@    #  "
    assert lines[7] == "holds nothing"
    at_door = state._replace(position=jnp.array([2, 5], jnp.int32), has_key=jnp.bool_(True), time=jnp.int32(80))
    assert env.draw(at_door).text.splitlines()[1:3] == ["   ##d##   ", "   # @ #   "]
    assert "holds the key" in env.draw(at_door).text


@pytest.mark.parametrize("options", [{"distractor": 0}, {"apples": 23}, {"apples": -1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        make("key-to-door", **options)
