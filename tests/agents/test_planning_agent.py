"""The agent that learns a world model and plans in it: what it learns from, and that its runs go on as they were."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.agents import NetworkConfig, PlanningAgent, PlanningConfig
from throughtime.agents.planning_loss import states_along
from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.world import MemoryConfig, WorldModelConfig, build_model, collect

pytestmark = pytest.mark.usefixtures("quick_compiler")

SMALL = PlanningConfig(
    num_envs=2,
    rollout_length=8,
    period=4,
    burn_in=2,
    bptt_length=6,
    updates=2,
    batch_size=3,
    random_steps=16,
    replay_steps=200,
    widths=(1, 1),
    value_batch=4,
    value_width=4,
    lookahead=1,
    target_period=2,
    width=4,
    anneal=False,
)
NETWORK = NetworkConfig(hidden_size=4)


@pytest.fixture(scope="module")
def runs():
    """Three iterations at once, and two and then one."""
    agent = PlanningAgent(make("cartpole-positions", time_limit=6), SMALL, NETWORK)
    run = jax.jit(agent.run, static_argnames="buffer")
    zero, three = jnp.int32(0), jnp.int32(3)
    start = jax.jit(agent.init)(5)
    whole = run(start, three, three, zero, buffer=3)
    part = run(start, jnp.int32(2), three, zero, buffer=3)
    return agent, start, whole, run(part[0], jnp.int32(1), three, zero, buffer=3)


def test_a_run_in_pieces_is_the_run(runs):
    _, _, whole, pieces = runs
    for a, b in zip(jax.tree.leaves(whole[0]), jax.tree.leaves(pieces[0]), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_what_was_planned_is_planned_again_from_what_was_stored(runs):
    _, _, (_, metrics, done, fault), _ = runs
    assert int(done) == 3
    assert int(fault.kind) == 0
    # The second iteration begins in the middle of episodes; those of six steps are reset many times on the way.
    assert (np.asarray(metrics.replay_error) <= 1e-5).all()
    assert (np.asarray(metrics.episodes) >= 1).all()


def test_model_and_value_learn_once_the_random_steps_are_over(runs):
    agent, start, (end, metrics, _, _), _ = runs
    np.testing.assert_array_equal(metrics.updates, 2)
    before, after = (agent._learned(state.policy)[0] for state in (start, end))
    for part in ("model", "value"):
        moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), getattr(before, part), getattr(after, part))
        assert any(jax.tree.leaves(moved)), part
    assert float(end.policy.network.controller.planner.terminal_value.unit) == pytest.approx(50.0)  # 1 / (1 − 0.98)


def test_a_sequence_that_burn_in_begins_is_the_rest_of_the_sequence():
    env = make("cartpole-positions")
    config = WorldModelConfig(model="mdn-rnn", width=4, components=1)
    model = build_model(env, config, jax.random.key(0), MemoryConfig("gru", 4))
    sequences = collect(env, None, batch_size=3, steps=40, key=jax.random.key(1))
    model, key, split = model.scaled_by(sequences), jax.random.key(2), 30
    assert bool(sequences.resets[1:].any())
    assert not bool(sequences.resets[split].all())

    @jax.jit
    def totals(sequences):
        """Summed over steps: of the whole, of its head, of its tail with the memory carried into it, and without."""
        start = jax.tree.map(lambda x: x[split], states_along(model, sequences, key))
        head, tail = (jax.tree.map(lambda x, s=s: x[s], sequences) for s in (slice(0, split), slice(split, None)))
        losses = model.loss(sequences, key), model.loss(head, key), model.loss(tail, key, start), model.loss(tail, key)
        return [loss.total * n for loss, n in zip(losses, (40, split, 40 - split, 40 - split), strict=True)]

    whole, head, tail, cold = totals(sequences)
    np.testing.assert_allclose(head + tail, whole, rtol=1e-5)
    assert abs(float(head + cold - whole)) > 1e-3  # what the comparison would show without burn-in


def test_settings_reach_what_they_are_about(runs):
    agent, *_ = runs
    for model in ("rssm", "mdn-rnn"):
        config = replace(SMALL, model=model, reward_bins=5, end_weight=3.0, value_members=3)
        policy = PlanningAgent(agent.env, config, NETWORK).fresh_policy(jax.random.key(0))
        heads = policy.network.model.outcome
        assert (heads.reward.output.bias_y.size, heads.end_weight) == (5, 3.0)
        assert len(policy.network.controller.planner.terminal_value.members) == 3
        assert policy.network.controller.planner.common_draws
        wider = PlanningAgent(agent.env, replace(config, widths=(2, 1)), NETWORK).fresh_policy(jax.random.key(0))
        assert not wider.network.controller.planner.common_draws


def test_settings_that_cannot_work_are_refused():
    cartpole, pendulum = make("cartpole-positions"), make("pendulum-positions")
    for env, changes, words in (
        (cartpole, {"period": 3}, "Take a divisor"),
        (cartpole, {"replay_steps": 10}, "Raise replay_steps"),
        (cartpole, {"discount": 1.0}, "discount below 1"),
        (pendulum, {"planner": "tree"}, "Take CrossEntropy"),
    ):
        with pytest.raises(ConfigError, match=words):
            PlanningAgent(env, replace(SMALL, **changes), NETWORK)
