"""Battleship, minesweeper and bandits step by step beside POPGym's own code; all boards are ours, put into theirs."""

import jax
import jax.numpy as jnp
import minesweeper_solver
import numpy as np
import pytest
from popgym_beside import LEVELS, assert_it_steps_alike, mixed, original, play

from throughtime.envs import make

pytestmark = pytest.mark.usefixtures("quick_compiler")


def one_of(mask, rng):
    return rng.choice(np.argwhere(mask))


@pytest.mark.parametrize("level", LEVELS)
def test_battleship(level):
    def build(state, keys):
        theirs = original("battleship", "Battleship", level)
        ships = iter([state.ships.astype(np.int8)] * len(theirs.ship_sizes))
        theirs.place_ship = lambda board, size: next(ships)
        return theirs

    right = lambda theirs, rng: one_of((theirs.board == 1) & (theirs.guesses == 0), rng)  # noqa: E731
    choices = [mixed(right, share) for share in (0.0, 0.3, 0.6, 1.0)]
    episodes = assert_it_steps_alike(
        make("battleship", difficulty=level), build, choices, lambda theirs: theirs.get_state()[0].reshape(-1)
    )
    assert episodes[0].truncated[-1]
    assert episodes[3].terminated[-1]
    assert sum(episodes[3].rewards) == pytest.approx(1.0)


def test_ships_lie_where_popgym_lays_them():
    """Both at random: how often each cell is taken, and how often ships lie side by side."""
    env, n = make("battleship"), 10_000
    _, states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(0), n))
    ours = np.asarray(states.ships)
    assert (ours.sum(axis=(1, 2)) == 12).all()
    theirs = original("battleship", "Battleship", "easy")
    theirs.np_random = np.random.default_rng(0)
    boards = np.zeros((1500, 8, 8), bool)
    for board in boards:
        theirs.reset()
        board[:] = theirs.board

    def alike(a, b):
        error = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 4.5 * error).all()

    alike(ours.astype(float), boards.astype(float))
    alike((ours & ours.transpose(0, 2, 1)).sum(axis=(1, 2)), (boards & boards.transpose(0, 2, 1)).sum(axis=(1, 2)))
    for axis in (1, 2):
        side_by_side = lambda b, axis=axis: (np.diff(b.astype(int), axis=axis) == 0).sum(axis=(1, 2))  # noqa: E731
        alike(side_by_side(ours), side_by_side(boards))


def test_blind_shots_without_repetition_score_a_thirteenth():
    env, n = make("battleship"), 1000
    _, states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(1), n))
    order = np.random.default_rng(0).permuted(np.tile(np.arange(64), (n, 1)), axis=1).T
    actions = jnp.asarray(np.stack(np.divmod(order, 8), axis=-1), jnp.int32)
    _, reward, terminated, _, _ = play(env, jnp.zeros((64, n, 2), jnp.uint32), states, actions)
    before_the_end = np.cumsum(terminated, axis=0) - terminated == 0
    returns = (reward * before_the_end).sum(axis=0)
    assert returns.mean() == pytest.approx(1 / 13, abs=4 * returns.std() / np.sqrt(n))


@pytest.mark.parametrize("level", LEVELS)
def test_minesweeper(level):
    def build(state, keys):
        return original("minesweeper", "MineSweeper", level, choice=[np.flatnonzero(state.mines)])

    clear = lambda theirs, rng: one_of(theirs.hidden_grid == 0, rng)  # noqa: E731
    again = lambda theirs, rng: one_of(theirs.hidden_grid == (2 if theirs.timestep else 0), rng)  # noqa: E731
    mine = lambda theirs, rng: one_of(theirs.hidden_grid == (1 if theirs.timestep > 2 else 0), rng)  # noqa: E731
    choices = [*(mixed(clear, share) for share in (0.0, 0.8, 0.9, 0.95, 1.0)), again, mine]
    episodes = assert_it_steps_alike(
        make("minesweeper", difficulty=level),
        build,
        choices,
        lambda theirs: (theirs.hidden_grid == 1).reshape(-1),
    )
    assert sum(episodes[4].rewards) == pytest.approx(1.0)
    assert episodes[5].truncated[-1]
    assert not episodes[5].terminated[-1]
    assert episodes[6].terminated[-1]


def test_mines_lie_anywhere():
    env, n = make("minesweeper", difficulty="medium"), 5000
    _, states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(0), n))
    mines = np.asarray(states.mines)
    assert (mines.sum(axis=(1, 2)) == 6).all()
    np.testing.assert_allclose(mines.mean(axis=0), 1 / 6, atol=4.5 * np.sqrt(5 / 36 / n))


def test_the_optimum_of_easy_minesweeper():
    """Solved here, and then the solver's policy played in ours on each of the 120 fields."""
    env = make("minesweeper")
    value, policy = minesweeper_solver.solve()
    assert env.optimal_return == pytest.approx(value, abs=1e-9)
    fields = np.array(minesweeper_solver.FIELDS)
    mines = (fields[:, None] >> np.arange(16) & 1).astype(bool).reshape(-1, 4, 4)
    _, state = env.reset(jax.random.PRNGKey(0))
    n = len(mines)
    states = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), state)._replace(mines=jnp.asarray(mines))
    step = jax.jit(jax.vmap(env.step_env, in_axes=(None, 0, 0, None)))
    key, seen, total = jax.random.PRNGKey(0), [()] * n, np.zeros(n)
    alive = np.ones(n, bool)
    for _ in range(env.max_episode_steps):
        cells = np.array([policy(past) for past in seen])
        actions = jnp.asarray(np.stack(np.divmod(cells, 4), axis=1), jnp.int32)
        obs, states, reward, terminated, _ = step(key, states, actions, env.default_params)
        total += np.where(alive, reward, 0.0)
        alive &= ~np.asarray(terminated)
        numbers = np.asarray(obs).argmax(axis=1)
        seen = [
            (*past, (int(cell), int(number))) if going else past
            for past, cell, number, going in zip(seen, cells, numbers, alive, strict=True)
        ]
    assert total.mean() == pytest.approx(env.optimal_return, abs=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_bandit(level):
    def build(state, keys):
        uniform = np.asarray(jax.vmap(jax.random.uniform)(keys))
        return original("multiarmed_bandit", "MultiarmedBandit", level, random=[state.chances, *uniform])

    best = lambda theirs, rng: int(theirs.bandits.argmax())  # noqa: E731
    choices = [mixed(best, share) for share in (0.0, 0.5)]
    episodes = assert_it_steps_alike(
        make("bandit", difficulty=level), build, choices, lambda theirs: theirs.get_state()
    )
    assert episodes[0].truncated[-1]


def test_arms_pay_with_probabilities_anywhere_between_0_and_1():
    env, n = make("bandit"), 5000
    _, states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(0), n))
    chances = np.asarray(states.chances)
    np.testing.assert_allclose(chances.mean(axis=0), 0.5, atol=4.5 / np.sqrt(12 * n))
    np.testing.assert_allclose(np.quantile(chances, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)
