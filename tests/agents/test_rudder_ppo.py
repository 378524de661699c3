"""RUDDER-PPO: PPO until the predictor is good enough, then PPO on rewards that sum to the same returns.

Delayed CartPole, cut off after a few steps: some episodes terminate, some are truncated, some cross the rollout's ends.
"""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import throughtime as tt
from throughtime.agents import PPO, NetworkConfig, PPOConfig, RudderPPO, RudderPPOConfig
from throughtime.core import ConfigError, named_arrays
from throughtime.credit import DecompositionConfig
from throughtime.envs import make
from throughtime.reports.credit import credit_found, credit_section
from throughtime.runs import read_metrics, resume

pytestmark = pytest.mark.usefixtures("quick_compiler")

LIMIT, S, B = 16, 40, 8
SIZES = {"num_envs": B, "rollout_length": S, "minibatches": 1, "epochs": 1, "anneal": False}
NETWORK = NetworkConfig(memory="gru", hidden_size=3, encoder=(3,))
ALWAYS = DecompositionConfig(
    memory="gru", hidden_size=3, updates=2, batch_size=4, least=1, bound=1e9, capacity=64, keep="latest"
)


def env():
    return make("delayed-cartpole", time_limit=LIMIT)


def agent_of(decomposition):
    return RudderPPO(env(), RudderPPOConfig(**SIZES, decomposition=decomposition), NETWORK)


@pytest.fixture(scope="module")
def assigned():
    """What is known after the second iteration, its rollout, and the rewards that its advantages are made of."""
    agent = agent_of(ALWAYS)
    state = jax.jit(agent.init)(jnp.uint32(0))
    gather = jax.jit(agent.gather)
    gathered = gather(state)
    gathered = gather(state._replace(actors=gathered.actors, credit=gathered.credit, key=gathered.key))
    return gathered.credit, gathered.rollout, np.asarray(gathered.rewards)


def whole_episodes(rollout):
    """(environment, first step, end) of the episodes that begin in the rollout and terminate in it; and of the rest."""
    whole, rest = [], []
    resets, terminated, truncated = (np.asarray(x) for x in (rollout.resets, rollout.terminated, rollout.truncated))
    for b in range(B):
        starts = [0, *(t for t in range(1, S) if resets[t, b])]
        for first, end in zip(starts, [*starts[1:], S], strict=True):
            complete = resets[first, b] and terminated[end - 1, b]
            (whole if complete else rest).append((b, first, end))
    assert truncated.any()
    assert any(not resets[0, b] for b in range(B))
    return whole, rest


def test_rewards_move_by_differences_of_predictions_and_only_within_complete_episodes(assigned):
    credit, rollout, rewards = assigned
    original = np.asarray(rollout.rewards)
    whole, rest = whole_episodes(rollout)
    assert len(whole) > 3
    predictor = credit.decomposition.predictor
    memory, scale = predictor.memory, np.asarray(predictor.input_scale)
    for b, first, end in whole:
        seen = np.asarray(rollout.observations[first:end, b])
        seen = np.concatenate([seen, np.asarray(rollout.successors[end - 1, b])[None]])
        acts = np.eye(2, dtype=np.float32)[np.asarray(rollout.actions[first:end, b])]
        inputs = np.concatenate(
            [np.diff(seen, axis=0, prepend=np.zeros((1, 4))), np.pad(acts, ((0, 1), (0, 0)))], axis=1
        )
        state, guesses = memory.initial_state(1), []
        for x in inputs / scale:
            state, y = memory.step(state, jnp.asarray(x, jnp.float32)[None])
            guesses.append(float(predictor.readout(y)[0, 0]) * float(predictor.return_scale))
        total, moved = original[first:end, b].sum(), np.diff(guesses[:-1], prepend=0.0)
        moved[-1] += guesses[-1] - guesses[-2]
        moved += (total - guesses[-1]) / (end - first)
        np.testing.assert_allclose(rewards[first:end, b], moved, atol=2e-5)
        np.testing.assert_allclose(rewards[first:end, b].sum(), total, rtol=1e-5)
        assert np.abs(rewards[first:end, b] - original[first:end, b]).max() > 0.1
    for b, first, end in rest:  # truncated, or not whole
        np.testing.assert_array_equal(rewards[first:end, b], original[first:end, b])


def test_only_what_terminated_is_a_lesson(assigned):
    credit, rollout, _ = assigned
    lessons = credit.decomposition.lessons
    held, new = int(lessons.held), len(whole_episodes(rollout)[0])
    assert held > new  # the first rollout's too
    returns = np.asarray(lessons.episodes.returns)[:held]
    expected = [np.asarray(rollout.rewards)[first:end, b].sum() for b, first, end in whole_episodes(rollout)[0]]
    np.testing.assert_allclose(sorted(returns[held - new :]), sorted(expected))


def test_beyond_the_bound_it_gathers_what_ppo_does_bit_for_bit():
    agent, ppo = agent_of(replace(ALWAYS, bound=1e-9)), PPO(env(), PPOConfig(**SIZES), NETWORK)
    got, expected = (jax.jit(a.gather)(jax.jit(a.init)(jnp.uint32(1))) for a in (agent, ppo))
    arrays, others = (jax.device_get(named_arrays(g._replace(credit=None))) for g in (expected, got))
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(others[name], array, err_msg=name)
    state = agent.init(1)._replace(credit=got.credit)
    assert "Rewards stay as they are: the predictor is off by" in agent.status(state).said


def test_a_resumed_run_equals_the_uninterrupted_one_lessons_included_and_metrics_tell(tmp_path):
    def train(steps, name):
        agent = tt.RudderPPO(env(), memory="gru", hidden_size=3, encoder=(3,), **SIZES, decomposition=ALWAYS)
        return agent.train(steps * S * B, seed=3, out=tmp_path / name)

    whole, _ = train(4, "whole"), train(2, "half")
    config = tmp_path / "half" / "config.toml"
    config.write_text(re.sub(r"total_steps = \d+", f"total_steps = {4 * S * B}", config.read_text()))
    resumed = resume(tmp_path / "half")
    expected, got = (jax.device_get(named_arrays(run.state)) for run in (whole, resumed))
    assert any(name.startswith("credit.decomposition.lessons") for name in expected)
    assert expected.keys() == got.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    rows = read_metrics(tmp_path / "whole" / "metrics.jsonl")
    assert [row["redistributed"] for row in rows] == [1, 1, 1, 1]
    assert rows[-1]["lessons"] > rows[0]["lessons"] > 0
    assert all(row["decomposition_error"] > 0 for row in rows)

    agent = whole.config.build()
    assert isinstance(agent, RudderPPO)
    found = credit_found(agent, whole.state)
    assert found.said.startswith("Rewards are redistributed")
    assert found.episode is not None
    assert found.episode.original[:-1].max() == 0 < found.episode.original[-1]
    np.testing.assert_allclose(found.episode.redistributed.sum(), found.episode.original.sum(), rtol=1e-5)
    assert found.episode.action[1] in credit_section(found)


def test_what_cannot_be_redistributed_is_refused_at_once():
    with pytest.raises(ConfigError, match=rf"rollout_length = 8 is shorter than an episode .*{LIMIT} steps"):
        tt.RudderPPO(env(), rollout_length=8)
    with pytest.raises(ConfigError, match="episodes = 0"):
        tt.RudderPPO(env(), rollout_length=S, episodes=0)
