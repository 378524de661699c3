"""The solver's bounds, against the exact solver of the tests and against all memoryless policies on a grid."""

from pathlib import Path

import numpy as np
import pytest
from pomdp_solver import memoryless_values, optimal_value, policy_grid

from throughtime.core import ConfigError
from throughtime.envs import Tables, make, solve, solve_memoryless
from throughtime.envs.pomdp_file import read_model
from throughtime.envs.solver._process import Process
from throughtime.envs.solver.bounds import _Search

DATA = Path(__file__).parents[1] / "data"


def random_tables(seed, S=3, A=2, O=2):  # noqa: E741
    rng = np.random.default_rng(seed)
    return Tables(
        initial=rng.dirichlet(np.ones(S)),
        transition=rng.dirichlet(np.ones(S), (S, A)),
        observation=rng.dirichlet(np.ones(O), (A, S)),
        reward=rng.normal(size=(S, A)),
        terminal=rng.random((S, A)) < 0.2,
        first_observation=rng.dirichlet(np.ones(O), S),
        observations=np.eye(O),
    )


def brackets(bounds, low, high=None):
    """The optimum lies between `low` and `high`, and so within the bounds, which are not far apart."""
    high = low if high is None else high
    assert bounds.lower <= high + 1e-9
    assert low - 1e-9 <= bounds.upper
    assert bounds.lower <= bounds.upper


@pytest.mark.parametrize(("name", "published"), [("tiger", 19.3714), ("tiger-ends-on-open", 3.7702)])
def test_tiger(name, published):
    env = make(name)
    bounds = solve(env.tables(), env.discount)
    brackets(bounds, *optimal_value(env.tables(), env.discount))
    assert bounds.lower == pytest.approx(published, rel=1e-3)
    assert bounds.gap <= 1e-4


@pytest.mark.parametrize("name", ["4x3", "market", "paint-mended", "shuttle", "tiger-alt-start", "tmaze2", "tmaze5"])
def test_files(name):
    model = read_model(DATA / f"{name}.POMDP")
    bounds = solve(model.tables(), model.discount, gap=1e-3)
    brackets(bounds, *optimal_value(model.tables(), model.discount, tiny=1e-7, max_beliefs=4_000))
    assert bounds.gap <= 1e-3


def test_t_mazes_by_hand():
    # Look at the cue (one step where one stands), then walk and turn: 4 after 4 and 7 steps.
    for name, steps in (("tmaze2", 4), ("tmaze5", 7)):
        model = read_model(DATA / f"{name}.POMDP")
        assert solve(model.tables(), 0.9).lower == pytest.approx(4 * 0.9**steps, rel=1e-9)


def test_heaven_and_hell_by_hand():
    # To the priest, S E E; back, W W N; up, N N; then two steps to heaven's state, and one more that pays.
    model = read_model(DATA / "heavenhell.POMDP")
    bounds = solve(model.tables(), 0.99)
    assert bounds.lower == pytest.approx(0.99**10, rel=1e-9)
    assert bounds.upper == pytest.approx(0.99**10, rel=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_random_pomdps(seed):
    tables = random_tables(seed)
    bounds = solve(tables, 0.5, gap=1e-5)
    brackets(bounds, *optimal_value(tables, 0.5, tiny=1e-8, max_beliefs=3_000))
    assert bounds.gap <= 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_both_surfaces_hold_at_beliefs_that_were_never_visited(seed):
    tables, rng = random_tables(seed, S=4, A=3), np.random.default_rng(seed)
    search = _Search(Process(tables, 0.6))
    for _ in range(30):
        lower, upper = search.at_start()
        search.walk(0.5 * (upper - lower), np.inf)
    beliefs = rng.dirichlet(np.full(4, 0.5), 8)
    surfaces = zip(search.lower.value(beliefs), search.upper.value(beliefs), strict=True)
    for belief, (lower, upper) in zip(beliefs, surfaces, strict=True):
        from_there = tables._replace(initial=belief, first_observation=np.tile([1.0, 0.0], (4, 1)))
        low, high = optimal_value(from_there, 0.6, tiny=1e-6, max_beliefs=2_000)
        assert lower <= high + 1e-9
        assert upper >= low - 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_when_time_runs_out(seed):
    tables = random_tables(seed, S=4, A=3, O=3)
    low, high = optimal_value(tables, 0.9, tiny=1e-4, max_beliefs=2_000)
    for seconds in (0.0, 0.005, 0.02):
        bounds = solve(tables, 0.9, gap=1e-9, seconds=seconds)
        brackets(bounds, low, high)
        assert bounds.seconds < seconds + 1.0


@pytest.mark.parametrize("seed", range(6))
def test_memoryless_policies_of_random_pomdps(seed):
    tables = random_tables(seed, S=3, A=2, O=3)
    best = memoryless_values(tables, 0.8, policy_grid(3, 2, 20)).max()
    bounds = solve_memoryless(tables, 0.8, gap=0.02)
    assert bounds.gap <= 0.02
    assert best <= bounds.upper + 1e-9
    assert bounds.lower >= best - 0.02 * max(0.01, abs(best))


def test_the_best_memoryless_policy_may_have_to_be_random():
    """Singh, Jaakkola & Jordan 1994: two states that look alike, and to leave each takes another action.

    The right one pays 1 and leads to the other state, the wrong one costs 1. Any fixed action pays once and then
    loses for ever; a fair coin earns 0 on average.
    """
    tables = Tables(
        initial=np.array([1.0, 0.0]),
        transition=np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]),
        observation=np.ones((2, 2, 1)),
        reward=np.array([[1.0, -1.0], [-1.0, 1.0]]),
        terminal=np.zeros((2, 2), bool),
        first_observation=np.ones((2, 1)),
        observations=np.eye(1),
    )
    bounds = solve_memoryless(tables, 0.9, gap=0.1)
    fixed = memoryless_values(tables, 0.9, policy_grid(1, 2, 1)).max()
    best = memoryless_values(tables, 0.9, policy_grid(1, 2, 1000)).max()
    assert fixed == pytest.approx(1 - 0.9 / (1 - 0.9))
    assert best - 1e-9 <= bounds.lower <= bounds.upper
    assert bounds.lower == pytest.approx(best, abs=1e-4)
    assert bounds.gap <= 0.1


def test_tiger_without_memory():
    env = make("tiger")
    bounds = solve_memoryless(env.tables(), env.discount, seconds=20.0)
    assert bounds.lower == pytest.approx(env.memoryless_return)
    assert bounds.lower <= bounds.upper <= env.memoryless_return * 0.98


def test_an_end_that_is_not_discounted_has_no_bounds():
    with pytest.raises(ConfigError, match="below 1"):
        solve(random_tables(0), 1.0)
    with pytest.raises(ConfigError, match="below 1"):
        solve_memoryless(random_tables(0), 1.0)
