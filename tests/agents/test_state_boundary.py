"""The state boundary (docs/architecture.md), point by point, on real rollouts of the real PPO.

Environments and memories that count are in `tests/boundary.py`, the checks too: `tests/faults` runs the same checks on
broken code.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import boundary
from boundary import Clock, serials_and_times
from throughtime.agents import PPO, NetworkConfig, Policy, PPOConfig
from throughtime.agents.network import ActorCritic
from throughtime.agents.preflight import FAULT_NONE, FAULT_REPLAY, find_fault
from throughtime.core import ConfigError
from throughtime.envs import Discrete
from throughtime.gradients import Guard
from throughtime.memory import MEMORIES


@pytest.fixture(scope="module")
def tally():
    """A rollout of 24 steps in 3 environments, cut into sequences of 4, in which every memory counts."""
    return boundary.tally_iteration()


@pytest.fixture(scope="module")
def learned():
    """The same with what a user has: LSTMs for actor and critic, continuous actions, everything normalised."""
    env = Clock(continuous=True, ends=("truncated", "terminated"))
    network = {"memory": "lstm", "hidden_size": 4, "encoder": (3,), "separate_critic": True}
    network |= {"previous_action": True, "previous_reward": True, "normalise_observations": True}
    config = PPOConfig(num_envs=3, rollout_length=16, bptt_length=8, minibatches=1, normalise_returns=True)
    ppo = PPO(env, config, NetworkConfig(**network))
    return boundary.record(ppo, boundary.initial(ppo, boundary.random_policy(env, **network)))


def test_point_1_reset_marks_the_first_observation(tally):
    boundary.check_resets(tally)


def test_point_1_the_first_rollout_begins_with_resets_and_the_next_one_goes_on(tally):
    assert np.asarray(tally.rollout.resets[0]).all()
    ended = np.asarray(tally.rollout.terminated | tally.rollout.truncated)[-1]
    assert_array_equal(tally.after.actors.reset, ended)
    assert not ended.all(), "all episodes ended with the rollout: nothing would be carried on"
    _, time = serials_and_times(tally.after.actors.observation)
    assert_array_equal(time == 0, ended)
    # The memory carried into the next rollout has read all but the observation that it will read first.
    count = np.asarray(tally.after.actors.policy.network.actor.count)[:, 0]
    assert_array_equal(count[~ended], time[~ended])


def test_point_2_the_stored_state_is_from_before_its_observation(tally):
    boundary.check_starts(tally)


def test_point_3_termination_and_truncation_stay_apart(tally):
    boundary.check_flags(tally)


def test_point_3_advantages_by_definition_with_the_trace_cut_at_every_end(tally):
    boundary.check_advantages(tally)


def test_point_3_final_observation_is_valued_with_the_memory_carried_into_it(tally):
    time, terminated, truncated = boundary.truth(tally)
    read = np.where(truncated & ~terminated, time + 2, 0)  # all inputs of the episode, and the final observation
    assert_array_equal(tally.rollout.final_values, read)


def test_point_3_final_values_by_stepping_the_policy_through_each_episode(learned):
    """Independent of `collect`: a loop over steps, one environment at a time, inputs put together by hand."""
    policy, rollout = learned.before.policy, learned.rollout
    step = eqx.filter_jit(ActorCritic.step)
    mean, var = (np.asarray(a, np.float64) for a in policy.observation_moments[1:])
    time, terminated, truncated = boundary.truth(learned)
    serial, _ = serials_and_times(rollout.observations)
    actions, rewards = np.asarray(rollout.actions), np.asarray(rollout.rewards)

    def network_input(serial, time, action, reward):
        obs = (np.array([serial / 100, time / 10]) - mean) / np.sqrt(var + 1e-8)
        return jnp.asarray(np.concatenate([obs, action, [reward]])[None], jnp.float32)

    expected_values, expected_finals = np.zeros(time.shape), np.zeros(time.shape)
    for b in range(time.shape[1]):
        for t in range(time.shape[0]):
            if time[t, b] == 0:
                state, action, reward = policy.network.initial_state(1), np.zeros(2), 0.0
            state, _, value = step(policy.network, state, network_input(serial[t, b], time[t, b], action, reward))
            expected_values[t, b] = value[0]
            action, reward = actions[t, b], rewards[t, b]
            if truncated[t, b] and not terminated[t, b]:
                final = network_input(serial[t, b], time[t, b] + 1, action, reward)
                expected_finals[t, b] = step(policy.network, state, final)[2][0]
    assert (expected_finals != 0).sum() >= 3
    assert_allclose(rollout.values, expected_values, atol=1e-5)
    assert_allclose(rollout.final_values, expected_finals, atol=1e-5)


def test_point_4_sequences_are_contiguous_and_start_from_their_stored_states(tally, learned):
    boundary.check_contiguous(tally)
    # Replayed from the stored states, every value is the one of acting: also those of the critic's own LSTM.
    sequences = learned.sequences
    assert sequences.inputs.shape == (8, 6, 5)
    network = learned.before.policy.network
    _, distribution, values = eqx.filter_jit(ActorCritic.unroll)(
        network, sequences.starts, sequences.inputs, sequences.resets
    )
    assert_allclose(values, sequences.values, atol=1e-5)
    assert_allclose(distribution.log_prob(sequences.actions), sequences.log_probs, atol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
def test_point_5_padding_before_a_reset_changes_nothing_even_as_nan(separate):
    """Outputs and gradients. (Burn-in, the other half of point 5, belongs to replay: a later part.)"""
    network = ActorCritic(
        3,
        Discrete(2),
        NetworkConfig(memory="gru", hidden_size=4, encoder=(3,), separate_critic=separate),
        jax.random.key(0),
    )
    boundary.check_padding(network)


NETWORKS = [  # every memory; each setting on and off with several of them
    ("gru", {}, "discrete", {"separate_critic": True, "previous_action": True}),
    ("gru", {"reset": "before"}, "continuous", {"num_layers": 2, "residual": True, "previous_reward": True}),
    ("lstm", {"peepholes": True}, "continuous", {"previous_action": True, "previous_reward": True}),
    ("lstm", {"learn_initial_state": True}, "discrete", {"separate_critic": True, "normalise_observations": True}),
    ("elman", {"f": "relu"}, "continuous", {"separate_critic": True}),
    ("jordan", {}, "discrete", {"previous_action": True, "previous_reward": True, "normalise_observations": True}),
    ("tdnn", {"taps": 3, "dilation": 2}, "discrete", {"separate_critic": True, "previous_reward": True}),
    ("lru", {"scan": "parallel"}, "discrete", {"previous_action": True}),
    ("mingru", {"scan": "serial"}, "continuous", {"previous_reward": True}),
    ("minlstm", {"scan": "parallel"}, "discrete", {"separate_critic": True}),
    ("none", {}, "continuous", {"previous_action": True}),
]


def test_every_memory_is_put_through_the_preflight():
    assert {name for name, *_ in NETWORKS} == set(MEMORIES)


@pytest.mark.parametrize(("memory", "options", "actions", "settings"), NETWORKS)
def test_point_6_preflight_passes(memory, options, actions, settings):
    env = Clock(continuous=actions == "continuous")
    network = dict(memory=memory, hidden_size=3, encoder=(), memory_options=options, **settings)
    ppo = PPO(env, PPOConfig(num_envs=2, rollout_length=12, bptt_length=4, minibatches=1), NetworkConfig(**network))
    it = boundary.record(ppo, boundary.initial(ppo, boundary.random_policy(env, **network)))
    boundary.check_preflight(it)
    assert np.isfinite(it.sequences.log_probs).all()


def test_point_6_preflight_looks_at_the_whole_sequence(tally):
    """Any one log-probability that differs is enough, also a NaN."""
    replay = jax.jit(boundary.ppo_module.replay_error_of)
    assert replay(tally.before.policy, tally.sequences) <= 1e-5
    for at in ((0, 0), (3, 7), (-1, -1)):
        moved = replace_log_prob(tally.sequences, at, 1e-3)
        assert_allclose(replay(tally.before.policy, moved), 1e-3, rtol=0.01)
    assert replay(tally.before.policy, replace_log_prob(tally.sequences, (1, 1), np.nan)) == np.inf


@pytest.mark.parametrize(
    ("steps", "first", "allowed"), [(50, 0, 1e-5), (500, 0, 1e-5), (1501, 0, 3.002e-5), (10**6, 0, 1e-3), (50, 7, 1e-3)]
)
def test_point_6_preflight_allows_for_rounding_and_no_more(steps, first, allowed):
    """In proportion to the steps that are recomputed in a row beyond 500, and never more than a resumed run."""
    guard = Guard.create({"w": jnp.zeros(2)}, 1)

    def kind(error):
        some = jnp.ones((3, 2), bool), jnp.zeros((3, 2)), jnp.zeros((3, 2))
        return int(find_fault(*some, jnp.float32(error), jnp.int32(first), steps, guard, 10).kind)

    assert kind(0.99 * allowed) == FAULT_NONE
    assert kind(1.01 * allowed) == FAULT_REPLAY
    assert kind(np.nan) == FAULT_REPLAY


def replace_log_prob(sequences, at, by):
    return sequences._replace(log_probs=sequences.log_probs.at[at].add(by))


def test_point_7_autoreset_is_same_step(tally):
    boundary.check_autoreset(tally)


def test_point_8_previous_action_and_reward_are_inputs_and_zero_at_an_episodes_start(tally):
    boundary.check_previous(tally)


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("action", [False, True])
@pytest.mark.parametrize("reward", [False, True])
def test_point_8_each_is_on_or_off_by_itself(action, reward, continuous):
    env = Clock(continuous=continuous)
    policy = Policy(env, NetworkConfig("none", 2, encoder=(), previous_action=action, previous_reward=reward), KEY)
    drawn = jnp.array([[0.5, -3.0], [0.25, 7.0]]) if continuous else jnp.array([2, 0])
    state = policy.remember(policy.network.initial_state(2), drawn)
    first = jnp.array([False, True])
    x = policy.inputs(policy.reset_where(first, state), jnp.ones((2, 2)), first, jnp.array([5.0, 6.0]))
    seen = [1.0, 1.0]
    if action:
        seen += [0.5, -3.0] if continuous else [0.0, 0.0, 1.0]  # as drawn; one-hot
    if reward:
        seen += [5.0]
    zeros = [0.0] * (len(seen) - 2)
    assert_array_equal(x, [seen, [1.0, 1.0, *zeros]])
    assert (state.previous_action is not None) == action


def test_point_8_a_policy_that_reads_rewards_asks_for_them():
    policy = Policy(Clock(), NetworkConfig("none", 2, encoder=(), previous_reward=True), KEY)
    with pytest.raises(ConfigError, match="reads the previous reward"):
        policy.act(policy.initial_state(1), jnp.zeros((1, 2)), jnp.ones(1, bool))


KEY = jax.random.key(0)


def test_the_checks_have_something_to_check(tally):
    """The rollout holds all kinds of endings, at piece borders and within, and at the rollout's end."""
    _, terminated, truncated = boundary.truth(tally)
    ended = terminated | truncated
    assert ended[3::4].any()
    assert ended[[0, 1, 2, 4, 5, 6]].any()
    assert ended[-1].any()
