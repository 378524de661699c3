"""Planners against what trying everything finds, and their behaviour at the edges of the horizon, the range and NaN."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_model import all_returns, model_of, random_tables

from throughtime.core import ConfigError
from throughtime.envs import Box, Discrete, MultiDiscrete
from throughtime.world import WorldModel
from throughtime.world.planning import (
    UCT,
    CategoricalCrossEntropy,
    CrossEntropy,
    SparseSampling,
    StateValue,
    imagined_returns,
    value_targets,
)

pytestmark = pytest.mark.usefixtures("quick_compiler")

TABLES = random_tables(3)
TERMINAL = np.random.default_rng(9).normal(size=5)
GAMMA, H = 0.9, 4
KEY = jax.random.key(0)


def terminal_value(state):
    return jnp.asarray(TERMINAL, jnp.float32)[state.index]


def at(start, count=1):
    model = model_of(TABLES)
    return model, model.start(count)._replace(index=jnp.full(count, start, jnp.int32))


@pytest.mark.parametrize("terminal", [None, TERMINAL], ids=["no value", "terminal value"])
def test_imagined_returns_are_those_of_the_tables(terminal):
    expected = all_returns(TABLES, 2, H, GAMMA, terminal)
    model, state = at(2, len(expected))
    actions = jnp.asarray(np.array(list(expected)).T, jnp.int32)
    value = None if terminal is None else terminal_value
    got = imagined_returns(model, state, actions, KEY, discount=GAMMA, terminal_value=value)
    np.testing.assert_allclose(got, list(expected.values()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("start", range(3))
def test_a_full_tree_is_exhaustive_enumeration(start):
    expected = all_returns(TABLES, start, H, GAMMA, TERMINAL)
    model, state = at(start)
    planner = SparseSampling(widths=(1,) * H, discount=GAMMA, terminal_value=terminal_value)
    best = [max(g for sequence, g in expected.items() if sequence[0] == a) for a in range(3)]
    found, planned = jax.jit(lambda: (planner.action_values(model, state, KEY), planner(model, state, (), KEY)))()
    np.testing.assert_allclose(found, best, rtol=1e-5, atol=1e-5)
    assert int(planned.distribution.mode()) == int(np.argmax(best))
    assert float(planned.value) == pytest.approx(max(best), abs=1e-5)


class Clock(NamedTuple):
    time: Any


class Targets(WorldModel):
    """Pays −(a − target_t)²: the best plan is the targets, as far as the range goes."""

    targets: Any  # [T]
    observation_size: int = eqx.field(static=True, default=1)
    action_space: Any = eqx.field(static=True, default=Box(0.0, 4.0, (1,)))

    def start(self, batch_size):
        return Clock(jnp.zeros(batch_size, jnp.int32))

    def observe(self, state, action_tm1, observation_t, reset_t, key=None):
        return Clock(jnp.where(reset_t, 0, state.time + 1))

    def imagine(self, state, action_t, key=None):
        reward = -((action_t[:, 0] - self.targets[state.time]) ** 2)
        return Clock(state.time + 1), reward, jnp.ones_like(reward)

    def decode(self, state, key=None):
        return state.time[:, None].astype(jnp.float32)


class Lottery(Targets):
    """Every action pays a draw from the same distribution, around 0."""

    action_space: Any = eqx.field(static=True, default=Discrete(3))

    def imagine(self, state, action_t, key=None):
        assert key is not None
        return Clock(state.time + 1), jax.random.normal(key, action_t.shape), jnp.ones(action_t.shape)


def test_common_draws_promise_nothing_for_luck():
    # No action is better than another. With draws of its own for each, the best is worth about 2.
    model, planner = Lottery(jnp.zeros(4)), SparseSampling(widths=(2, 2, 2), discount=1.0, common_draws=True)
    search = jax.jit(jax.vmap(lambda key: planner.action_values(model, model.start(1), key)))
    found = search(jax.random.split(KEY, 1_000))
    np.testing.assert_allclose(found, found[:, :1].repeat(3, axis=1), atol=1e-5)
    assert float(jnp.mean(found)) == pytest.approx(0.0, abs=4 * np.sqrt(3 / 2 / 1_000))


def test_values_are_fitted_to_what_a_full_search_finds_with_the_old_value_at_its_end():
    model, states = at(0, 5)
    states = states._replace(index=jnp.arange(5, dtype=jnp.int32))
    value = StateValue(model, 4, KEY)
    # One network says 0.7 everywhere, the other more, and is not believed.
    value = eqx.tree_at(
        lambda v: [m[-1].bias_y for m in v.members], value, [jnp.array([x], jnp.float32) for x in (0.7, 2.0)]
    )
    got = value_targets(model, value, states, KEY, discount=GAMMA, depth=2)
    expected = [max(all_returns(TABLES, s, 2, GAMMA, np.full(5, 0.7)).values()) for s in range(5)]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_uct_settles_on_the_best_first_action():
    # One outcome each: the tree is that of all sequences, and its walks settle on the best of them.
    planner = UCT(simulations=400, depth=H, discount=GAMMA, exponent=0.0, exploration=0.5)
    run = jax.jit(lambda state: planner(model, state, (), KEY))
    for start in range(3):
        expected = all_returns(TABLES, start, H, GAMMA)
        model, state = at(start)
        planned = run(state)
        assert int(planned.distribution.mode()) == max(expected, key=lambda s: expected[s])[0], start
        # A mean over walks, those that explored among them: never above the best, and close to it.
        assert max(expected.values()) - 0.25 < float(planned.value) < max(expected.values()) + 1e-5


def test_cross_entropy_finds_the_best_sequence_and_hands_it_on_moved_by_one_step():
    tables = (*TABLES[:2], np.maximum(TABLES[2], 0.5))  # no step ends the episode: every later action counts
    expected = all_returns(tables, 0, H, GAMMA)
    best = max(expected, key=lambda s: expected[s])
    model = model_of(tables)
    state = model.start(1)
    planner = CategoricalCrossEntropy(horizon=H, candidates=200, elites=10, iterations=6, discount=GAMMA, forget=0.2)
    planned = planner(model, state, planner.no_plan(model.action_space), KEY)
    assert int(planned.distribution.mode()) == best[0]
    assert tuple(np.argmax(planned.plan[:-1], axis=1)) == best[1:]
    np.testing.assert_allclose(planned.plan[-1], 1 / 3, rtol=1e-6)
    assert float(planned.value) == pytest.approx(expected[best], abs=0.05)


def test_continuous_plans_find_the_targets_within_bounds_and_move_on():
    model = Targets(jnp.array([3.0, 1.0, 9.0, 2.0, 2.0, 2.0]))
    planner = CrossEntropy(horizon=3, candidates=256, elites=24, iterations=8, discount=1.0, initial_std=1.0)
    planned = planner(model, model.start(1), planner.no_plan(model.action_space), KEY)
    # In units where the range 0 … 4 is −1 … 1; the third target lies beyond it.
    np.testing.assert_allclose(planned.distribution.mode(), [0.5], atol=0.03)
    np.testing.assert_allclose(planned.plan[:, 0], [-0.5, 1.0, 0.0], atol=0.05)


def test_what_is_not_finite_is_never_chosen():
    successor, reward, goes_on = (x.copy() for x in TABLES)
    reward[:, 0] = np.nan
    model, broken = (model_of((successor, r, goes_on)) for r in (reward, np.full_like(reward, np.nan)))
    cem = CategoricalCrossEntropy(horizon=3, candidates=100, elites=10, iterations=2)
    for planner in (SparseSampling(widths=(1, 1, 1)), UCT(simulations=40, depth=3, exponent=0.0), cem):

        @eqx.filter_jit
        def search(model, planner=planner):
            return planner(model, model.start(1), planner.no_plan(model.action_space), KEY)

        planned = search(model)
        assert int(planned.distribution.mode()) != 0, planner
        assert np.isfinite(planned.value), planner
        assert np.isfinite(planned.distribution.logits).all(), planner  # a preflight compares them
        assert not np.isfinite(search(broken).value), planner


def test_a_continuation_that_is_not_a_number_is_no_way_out():
    """Every step costs 1 and nothing ends: a way out would be the best there is."""
    goes_on = np.ones((5, 3))
    goes_on[:, 0] = np.nan
    model = model_of((TABLES[0], np.full((5, 3), -1.0), goes_on))
    cem = CategoricalCrossEntropy(horizon=3, candidates=100, elites=10, iterations=2, discount=GAMMA)
    uct = UCT(simulations=40, depth=3, exponent=0.0, discount=GAMMA)
    for planner in (SparseSampling(widths=(1, 1, 1), discount=GAMMA), uct, cem):
        plan = planner.no_plan(model.action_space)
        planned = eqx.filter_jit(lambda m, plan, p=planner: p(m, m.start(1), plan, KEY))(model, plan)
        assert int(planned.distribution.mode()) != 0, planner
        # Three steps; the mean over a tree's walks has shorter ones in it.
        assert -(1 + GAMMA + GAMMA**2) - 1e-5 <= float(planned.value) < -1.0, planner


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CrossEntropy(elites=20, candidates=10), "fewer elites"),
        (lambda: CategoricalCrossEntropy(horizon=0), "horizon = 0"),
        (lambda: UCT(discount=1.5), "between 0 and 1"),
        (lambda: SparseSampling(widths=()), "depth = 0"),
        (lambda: SparseSampling(widths=(50, 50, 50)).check(Discrete(4)), "take UCT"),
        (lambda: CrossEntropy().check(Discrete(2)), "CategoricalCrossEntropy"),
        (lambda: UCT().check(Box(-1.0, 1.0, (2,))), "Take CrossEntropy"),
        (lambda: UCT().check(MultiDiscrete((2, 2))), "one discrete action"),
    ],
)
def test_searches_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
