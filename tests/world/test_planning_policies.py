"""Controllers and the policies made of them: resets, rows, exact values, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_model import model_of, random_tables
from known_dynamics import KnownDynamics

from throughtime.agents import planning_policy
from throughtime.core import ConfigError
from throughtime.envs import make, solve
from throughtime.insight.belief import bayes_filter
from throughtime.runs.exact import exact_value
from throughtime.world.planning import BeliefModel, CategoricalCrossEntropy, Controller, CrossEntropy, SparseSampling

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module")
def tiger():
    env = make("tiger")
    return env, BeliefModel(env)


def test_the_exact_belief_model_filters_as_bayes_does(tiger):
    env, model = tiger
    T, B = 12, 5
    rng = np.random.default_rng(0)
    actions = jnp.asarray(rng.integers(0, 3, (T, B)), jnp.int32)
    resets = jnp.asarray(np.arange(T)[:, None] % (4 + np.arange(B)) == 0)
    seen = jnp.where(resets, 0, jnp.asarray(rng.integers(1, 3, (T, B)), jnp.int32))
    expected = bayes_filter(env.tables(), seen, actions, resets)
    state, observed = model.start(B), jnp.asarray(env.tables().observations, jnp.float32)[seen]
    for t in range(T):
        state = model.observe(state, actions[max(t - 1, 0)], observed[t], resets[t])
        np.testing.assert_allclose(state.belief, expected[t], atol=1e-5)


def test_imagined_beliefs_are_drawn_as_bayes_and_the_tables_say(tiger):
    _, model = tiger
    N = 4_000
    state = model.start(N)._replace(belief=jnp.tile(jnp.array([[0.85, 0.15]]), (N, 1)))
    after, reward, goes_on = model.imagine(state, jnp.zeros(N, jnp.int32), jax.random.key(0))
    np.testing.assert_allclose(reward, -1.0, rtol=1e-6)
    np.testing.assert_allclose(goes_on, 1.0)
    # Heard on the same side again with probability 0.85² + 0.15² = 0.745, and then 0.85² / 0.745 sure of it.
    left = np.asarray(after.observation) == 1
    assert abs(left.mean() - 0.745) < 0.03
    np.testing.assert_allclose(np.asarray(after.belief)[left, 0], 0.7225 / 0.745, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(after.belief)[~left, 0], 0.5, rtol=1e-5)


@pytest.mark.slow
def test_a_tree_over_exact_beliefs_earns_the_exact_solvers_value(tiger):
    env, model = tiger
    bounds = solve(env.tables(), env.discount)
    policy = planning_policy(env, model, SparseSampling(widths=(4, 4, 2, 2), discount=env.discount))
    assert exact_value(policy, env).value > 0.99 * bounds.lower


def test_a_reset_begins_anew_and_rows_do_not_meet():
    model = model_of(random_tables(3))
    planner = CategoricalCrossEntropy(horizon=3, candidates=16, elites=4, iterations=2)
    controller = Controller(model, planner)
    step = eqx.filter_jit(controller.step)

    def play(starts, resets):
        """Plans and states along B episodes, each beginning anew in a state of its own."""
        starts, resets = jnp.asarray(starts, jnp.float32), jnp.asarray(resets)
        state, action, out = controller.initial_state(starts.shape[1]), jnp.zeros(starts.shape[1], jnp.int32), []
        for t in range(len(starts)):
            state, planned = step(state, action, starts[t][:, None], resets[t])
            action = planned.distribution.mode()
            out.append(np.concatenate([np.asarray(planned.plan).reshape(len(action), -1), action[:, None]], axis=1))
        return np.stack(out)

    T, no = 6, [False] * 6
    starts = np.tile([[1.0, 4.0]], (T, 1))
    both = play(starts, np.array([[True, True], *[[False, False]] * 2, [False, True], *[[False, False]] * 2]))
    # The second row began anew at t = 3: from there on it is what it was from t = 0 on.
    np.testing.assert_array_equal(both[3:, 1], both[:3, 1])
    assert not np.array_equal(both[3:, 0], both[:3, 0])
    # Row 0 by itself, and without a reset flag at its first step: a state that has read nothing needs none.
    np.testing.assert_array_equal(play(starts[:, :1], np.array([no]).T)[:, 0], both[:, 0])


def test_a_planning_policy_acts_within_bounds_and_carries_its_plan():
    env = make("pendulum")
    policy = planning_policy(env, KnownDynamics(env), CrossEntropy(horizon=4, candidates=32, elites=4, iterations=2))
    state = policy.initial_state(2)
    observation = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    state, action = policy.act(state, observation, jnp.ones(2, bool))
    assert action.shape == (2, 1)
    assert float(jnp.abs(action).max()) <= 2.0
    # Pushed against the fall, as far as it can; upright and still there is next to nothing to do.
    assert float(action[1, 0]) < -1.0 < float(action[0, 0]) < 1.0
    assert float(jnp.abs(state.network.actor.plan).max()) > 0


def test_what_does_not_belong_together_is_refused(tiger):
    env, model = tiger
    with pytest.raises(ConfigError, match="Take CategoricalCrossEntropy"):
        planning_policy(env, model, CrossEntropy())
    with pytest.raises(ConfigError, match="takes actions of"):
        planning_policy(make("cartpole"), model, SparseSampling())
    with pytest.raises(ConfigError, match="reads 1 numbers"):
        planning_policy(env, model_of(random_tables(0)), SparseSampling())
    with pytest.raises(ConfigError, match="no tables"):
        BeliefModel(make("cartpole"))
    controller = Controller(model, SparseSampling(widths=(1,)))
    with pytest.raises(ConfigError, match="have shape"):
        controller.step(controller.initial_state(1), jnp.zeros(1, jnp.int32), jnp.zeros((1, 7)), jnp.ones(1, bool))
