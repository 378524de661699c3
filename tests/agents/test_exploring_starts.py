"""PPO with exploring starts: whose first actions are drawn by chance, whose are not, and what that is good for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_action_masks import Gates

import boundary
import throughtime as tt
from boundary import Clock
from throughtime.agents import PPO, NetworkConfig, Policy, PPOConfig
from throughtime.agents.preflight import FAULT_NONE
from throughtime.agents.rollout import collect, start
from throughtime.core import ConfigError
from throughtime.envs import VectorEnvironment

pytestmark = pytest.mark.usefixtures("quick_compiler")
NETWORK = NetworkConfig(memory="gru", hidden_size=4, encoder=())


def rollout(env, share, bias=None, B=64, T=32):
    """T steps of B environments by a policy whose action 0 is all but certain, or by one with these `bias`es."""
    policy = Policy(env, NETWORK, jax.random.key(0))
    size = policy.network.policy_head.linear.bias_y.shape[0]
    bias = jnp.zeros(size).at[0].set(30.0) if bias is None else jnp.asarray(bias, jnp.float32)
    policy = eqx.tree_at(lambda p: p.network.policy_head.linear.bias_y, policy, bias)
    environments = VectorEnvironment(env, B)
    actors = start(policy, environments, jax.random.key(1))

    def acted(policy, actors):
        return collect(policy, environments, actors, jax.random.key(2), T, T, exploring_starts=share)[1]

    return jax.device_get(eqx.filter_jit(acted)(policy, actors))


def test_the_share_of_first_actions_is_drawn_from_all_and_no_other_action_is():
    steps = rollout(Clock(), 0.6)
    first = steps.actions[steps.resets]
    assert len(first) > 400
    assert_array_equal(steps.actions[~steps.resets], 0)
    expected = len(first) * np.array([0.4 + 0.2, 0.2, 0.2])
    assert np.all(np.abs(np.bincount(first, minlength=3) - expected) < 4 * np.sqrt(expected))


def test_without_a_share_it_is_the_same_rollout():
    ours = rollout(Clock(), 0.0, [0.0, 0.5, 1.0])
    none = rollout(Clock(), 1e-12, [0.0, 0.5, 1.0])  # drawn for, and never drawn
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(none), strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("sizes", [(5,), (3, 4)])
def test_a_forbidden_first_action_is_not_drawn(sizes):
    steps = rollout(Gates(sizes), 1.0)
    masks = steps.observations[..., 2:][steps.resets].astype(bool)
    actions = steps.actions[steps.resets].reshape(len(masks), -1)
    for k, at in enumerate(np.cumsum((0, *sizes[:-1]))):
        part = masks[:, at : at + sizes[k]]
        assert np.take_along_axis(part, actions[:, k : k + 1], 1).all()
        # Each allowed one as likely: of n of them the first is taken by 1 in n.
        took_first = actions[:, k] == part.argmax(1)
        expected = (1 / part.sum(1)).sum()
        assert abs(took_first.sum() - expected) < 4 * np.sqrt(expected)


def test_what_is_learned_from_is_the_policys_own_probability():
    """The first ratio is 1 also where another distribution drew, so that a step can be told from the policy before."""
    config = PPOConfig(num_envs=8, rollout_length=16, exploring_starts=1.0)
    ppo = PPO(Clock(), config, NETWORK)
    policy = boundary.random_policy(ppo.env, **vars(NETWORK))
    state = boundary.initial(ppo, policy, optimiser=ppo.optimiser)
    for _ in range(2):
        state, metrics, fault = boundary.quick_jit(ppo.iterate)(state, jnp.int32(2), jnp.int32(0))
        assert int(fault.kind) == FAULT_NONE
        assert metrics.first_ratio_error <= 1e-5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ConfigError, match="exploring_starts = "):
        PPO(Clock(), PPOConfig(exploring_starts=share), NETWORK)


def test_continuous_actions_are_refused():
    with pytest.raises(ConfigError, match=r"exploring_starts = 0.5 for continuous(.|\n)*initial_log_std"):
        PPO(Clock(continuous=True), PPOConfig(exploring_starts=0.5), NETWORK)


def test_a_limit_on_a_divergence_that_cannot_be_estimated_is_refused():
    with pytest.raises(ConfigError, match=r"exploring_starts = 0.5 with target_kl = 0.01(.|\n)*smaller clip"):
        PPO(Clock(), PPOConfig(exploring_starts=0.5, target_kl=0.01), NETWORK)


def test_a_cue_is_fetched_that_nobody_would_look_for():
    """Five cells, the cue behind the start: a memoryless policy comes to ½, and so does a GRU that never fetches it."""
    env, network = tt.make("t-maze-active", length=5), {"memory_options": {"chrono": 10.0}, "encoder": (32,)}

    def learned(share):
        agent = tt.PPO(env, exploring_starts=share, num_envs=32, rollout_length=8, hidden_size=32, **network)
        return agent.train(160_000, seed=3).evaluate(200).mean

    assert learned(0.5) >= 0.95
    assert learned(0.0) <= 0.6
