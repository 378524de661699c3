"""Recurrent PPO: what an iteration changes, by how much, and what it refuses to start with."""

from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import boundary
from boundary import Clock
from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.agents.preflight import FAULT_NONE
from throughtime.core import ConfigError
from throughtime.runs import EnvConfig, RunConfig
from throughtime.runs import train as run_training

ITERATIONS = 5
NETWORK = NetworkConfig(memory="gru", hidden_size=4, encoder=(3,), previous_action=True, normalise_observations=True)
CONFIG = PPOConfig(
    num_envs=3,
    rollout_length=16,
    bptt_length=8,
    epochs=2,
    minibatches=3,
    learning_rate=0.01,
    value_clip=0.2,
    normalise_returns=True,
    discount=0.9,
)


def iterations(ppo, state, count):
    """States (before each iteration, and the last), metrics and faults of `count` iterations, one program."""
    iterate = boundary.quick_jit(ppo.iterate)
    states, rows = [state], []
    for _ in range(count):
        state, metrics, fault = iterate(state, jnp.int32(ITERATIONS), jnp.int32(0))
        assert int(fault.kind) == FAULT_NONE
        states.append(state)
        rows.append(jax.device_get(metrics))
    return states, rows


@pytest.fixture(scope="module")
def trained():
    """Five iterations of a GRU on discrete actions with everything normalised: (ppo, states, metrics)."""
    ppo = PPO(Clock(), CONFIG, NETWORK)
    policy = boundary.random_policy(ppo.env, **vars(NETWORK))
    return ppo, *iterations(ppo, boundary.initial(ppo, policy, optimiser=ppo.optimiser), ITERATIONS)


@pytest.fixture(scope="module")
def records(trained):
    """What each of these iterations recorded, recomputed from its state and key."""
    ppo, states, _ = trained
    return boundary.record_all(ppo, states[:ITERATIONS])


@pytest.fixture(scope="module")
def recorded(records):
    """The fourth of them."""
    return records[3]


def test_the_first_ratio_is_one_in_every_iteration(trained):
    _, _, rows = trained
    assert max(row.first_ratio_error for row in rows) <= 1e-5
    # Not for want of a change: within an iteration the policy does move.
    assert min(row.approximate_kl for row in rows) > 1e-6


def test_all_gradient_steps_are_taken(trained):
    _, states, rows = trained
    assert [row.updates for row in rows] == [6] * ITERATIONS
    assert int(states[-1].optimiser.count) == 6 * ITERATIONS
    assert int(states[-1].iteration) == ITERATIONS


def test_the_learning_rate_falls_linearly_to_zero(trained):
    _, _, rows = trained
    assert_allclose([row.learning_rate for row in rows], 0.01 * np.array([1, 0.8, 0.6, 0.4, 0.2]), rtol=1e-6)


def largest_move(before, after):
    pairs = zip(leaves(before.policy.network), leaves(after.policy.network), strict=True)
    return max(np.abs(b - a).max() for a, b in pairs)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def test_the_observation_normaliser_stands_still_in_a_rollout_and_moves_after_it(trained, records):
    _, states, _ = trained
    before, after = states[3].policy.observation_moments, states[4].policy.observation_moments
    raw = np.asarray(records[3].rollout.observations, np.float64)
    expected = (raw - np.asarray(before.mean)) / np.sqrt(np.asarray(before.var) + 1e-8)
    assert_allclose(records[3].rollout.inputs[..., :2], expected, atol=1e-5)
    # Afterwards it has seen all four rollouts, each observation weighed alike, beside what it had seen at the start.
    start = states[0].policy.observation_moments
    seen = np.concatenate([np.asarray(record.rollout.observations) for record in records[:4]]).reshape(-1, 2)
    weights = np.array([float(start.weight), len(seen)])
    means = [np.asarray(start.mean), seen.mean(0)]
    squares = [np.asarray(start.var) + np.square(means[0]), np.square(seen).mean(0)]
    mean = np.average(means, axis=0, weights=weights)
    assert_allclose(after.weight, weights.sum(), rtol=1e-6)
    assert_allclose(after.mean, mean, rtol=1e-4)
    assert_allclose(after.var, np.average(squares, axis=0, weights=weights) - mean**2, rtol=1e-3)


def test_rewards_are_scaled_by_the_running_deviation_of_the_discounted_return(trained, recorded):
    _, states, _ = trained
    rollout = recorded.rollout
    rewards, ended = np.asarray(rollout.rewards, np.float64), np.asarray(rollout.terminated | rollout.truncated)
    running, returns = np.asarray(states[3].discounted_return, np.float64), []
    for reward, end in zip(rewards, ended, strict=True):
        running = reward + 0.9 * running
        returns.append(running)
        running = np.where(end, 0.0, running)
    old, new = states[3].return_moments, states[4].return_moments
    assert_allclose(states[4].discounted_return, running, rtol=1e-5)
    n, m = float(old.weight), np.size(returns)
    total = np.concatenate([[(float(old.mean), n)], [(np.mean(returns), m)]])
    mean = np.average(total[:, 0], weights=total[:, 1])
    second = (n * (float(old.var) + float(old.mean) ** 2) + m * np.mean(np.square(returns))) / (n + m)
    assert_allclose(new.mean, mean, rtol=1e-4)
    assert_allclose(new.var, second - mean**2, rtol=1e-3)
    assert_allclose(recorded.rewards, rewards / np.sqrt(float(new.var) + 1e-8), rtol=1e-4)


def test_metrics_of_the_episodes_that_ended(trained, records):
    _, _, rows = trained
    score, length = np.zeros(3), np.zeros(3, int)
    for i in range(ITERATIONS):  # episodes reach from one iteration into the next
        rollout, scores, lengths = records[i].rollout, [], []
        for t in range(16):
            score, length = score + np.asarray(rollout.rewards[t], np.float64), length + 1
            for b in np.flatnonzero(rollout.terminated[t] | rollout.truncated[t]):
                scores.append(score[b])
                lengths.append(length[b])
                score[b], length[b] = 0.0, 0
        assert rows[i].episodes == len(scores)
        assert_allclose(rows[i].episode_return, np.mean(scores), rtol=1e-5)
        assert_allclose(rows[i].episode_length, np.mean(lengths), rtol=1e-6)


def test_gradient_of_the_whole_loss_by_finite_differences(trained, recorded):
    """Every parameter, in float64, on a batch whose ratios are not 1 and whose values are clipped."""
    ppo, states, _ = trained
    with jax.enable_x64(True):
        to64 = lambda tree: jax.tree.map(  # noqa: E731
            lambda x: jnp.asarray(np.asarray(x), jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
        )
        rng = np.random.default_rng(0)
        network = jax.tree.map(
            lambda x: x + jnp.asarray(0.3 * rng.normal(size=x.shape)), to64(states[3].policy.network)
        )
        batch = to64(recorded.sequences)
        assert np.asarray(batch.resets).any()
        parameters, unravel = jax.flatten_util.ravel_pytree(network)

        def loss(flat):
            return ppo._loss(unravel(flat), batch)

        (_, info), gradient = boundary.quick_jit(jax.value_and_grad(loss, has_aux=True))(parameters)
        # The batch is a hard one: some ratios are clipped, others not, and it is not the first pass.
        assert 0.05 < float(info["clip_fraction"]) < 0.95
        steps = 1e-6 * jnp.eye(len(parameters))
        base = jnp.broadcast_to(parameters, steps.shape)
        values = boundary.quick_jit(lambda flats: jax.lax.map(lambda flat: loss(flat)[0], flats, batch_size=64))
        numeric = (values(base + steps) - values(base - steps)) / 2e-6
        assert_allclose(gradient, numeric, atol=1e-7, rtol=1e-5)
        assert (np.abs(numeric) > 1e-9).mean() > 0.9


@pytest.fixture(scope="module")
def stopped():
    """One environment, LSTMs of its own for actor and critic, continuous actions, and a KL limit met at once."""
    config = PPOConfig(
        num_envs=1,
        rollout_length=8,
        epochs=4,
        minibatches=1,
        learning_rate=0.05,
        anneal=False,
        target_kl=1e-4,
        gradient_clip_by="value",
    )
    network = NetworkConfig(memory="lstm", hidden_size=3, encoder=(), separate_critic=True)
    ppo = PPO(Clock(continuous=True), config, network)
    policy = boundary.random_policy(ppo.env, memory="lstm", hidden_size=3, encoder=(), separate_critic=True)
    state = boundary.initial(ppo, policy, optimiser=ppo.optimiser)
    return ppo, *iterations(ppo, state, 2)


def test_the_kl_limit_stops_the_updates_of_an_iteration(stopped):
    _, states, rows = stopped
    # The first pass is at ratio 1 (KL 0) and is taken; what it did exceeds the limit, so no further one is.
    assert [row.updates for row in rows] == [1, 1]
    assert [int(state.optimiser.count) for state in states] == [0, 1, 2]
    for before, after in pairwise(states):  # one of Adam's steps each
        assert 0.01 < largest_move(before, after) < 0.051


def test_metrics_count_only_the_steps_that_were_taken(stopped):
    _, _, rows = stopped
    assert rows[0].approximate_kl < 1e-8  # of the first pass alone
    assert rows[0].first_ratio_error <= 1e-5


def test_one_environment_without_anneal(stopped):
    ppo, _, rows = stopped
    assert ppo.steps_per_iteration == 8
    assert [row.learning_rate for row in rows] == [np.float32(0.05)] * 2


def test_a_separate_critic_has_a_memory_of_its_own(stopped):
    _, states, _ = stopped
    network = states[-1].policy.network
    stored = states[-1].actors.policy.network
    assert stored.critic is not None
    assert not np.allclose(stored.actor.h, stored.critic.h)
    # Each output depends on its own tower alone.
    x, unrolled = jnp.ones((1, 2)), eqx.filter_jit(type(network).step)
    _, policy, value = unrolled(network, stored, x)
    _, other_policy, other_value = unrolled(network, stored._replace(critic=network.initial_state(1).critic), x)
    assert_array_equal(policy.mean, other_policy.mean)
    assert not np.allclose(value, other_value)
    _, other_policy, other_value = unrolled(network, stored._replace(actor=network.initial_state(1).actor), x)
    assert_array_equal(value, other_value)
    assert not np.allclose(policy.mean, other_policy.mean)


def test_a_shared_memory_is_one():
    policy = boundary.random_policy(Clock(), memory="lstm", hidden_size=3, encoder=())
    assert policy.network.critic is None
    assert policy.initial_state(2).network.critic is None


@pytest.mark.parametrize("by", ["norm", "adaptive"])
def test_the_gradient_is_clipped_as_configured(by):
    """Adam's ε is 1e-5: gradients that were clipped far below it hardly move a parameter, others by the full rate."""
    config = replace(CONFIG, epochs=1, minibatches=1, gradient_clip=1e-9, gradient_clip_by=by)
    ppo = PPO(Clock(), config, replace(NETWORK, memory="none"))
    policy = boundary.random_policy(ppo.env, **vars(ppo.network_config))
    states, rows = iterations(ppo, boundary.initial(ppo, policy, optimiser=ppo.optimiser), 1)
    assert 0 < largest_move(*states) < 1e-3 * config.learning_rate
    assert rows[0].gradient_norm > 1e-3  # before clipping


@pytest.fixture(scope="module")
def chunks():
    """A state, `PPO.run` with one gradient step an iteration as one program, and the list of its traces."""
    network = replace(NETWORK, memory="none")
    ppo = PPO(Clock(), replace(CONFIG, epochs=1, minibatches=1), network)
    policy = boundary.random_policy(ppo.env, **vars(network))
    state = boundary.initial(ppo, policy, optimiser=ppo.optimiser)
    traces = []

    def run(state, iterations):
        traces.append(1)
        return ppo.run(state, iterations, jnp.int32(ITERATIONS), jnp.int32(0), 4)

    return state, boundary.quick_jit(run), traces


def test_one_program_serves_every_chunk_size(chunks):
    state, run, traces = chunks
    whole, metrics, completed, _ = run(state, jnp.int32(4))
    assert int(completed) == 4
    pieces, rows = state, []
    for size in (1, 2, 1):
        pieces, row, completed, fault = run(pieces, jnp.int32(size))
        assert (int(completed), int(fault.kind)) == (size, FAULT_NONE)
        rows.append(jax.tree.map(lambda x, n=size: np.asarray(x)[:n], row))
    assert len(traces) == 1
    for a, b in zip(leaves(whole._replace(key=0)), leaves(pieces._replace(key=0)), strict=True):
        assert_array_equal(a, b)
    assert_array_equal(jax.random.key_data(whole.key), jax.random.key_data(pieces.key))
    for name, values in metrics._asdict().items():
        if values is None:  # of other algorithms
            continue
        assert_array_equal(np.concatenate([getattr(row, name) for row in rows]), np.asarray(values), err_msg=name)


def test_the_learning_rate_scales_the_step(chunks):
    """Adam's first step is a sign: ± the learning rate wherever there is a gradient (ε aside)."""
    state, run, _ = chunks
    after, metrics, _, _ = run(state, jnp.int32(1))
    assert metrics.learning_rate[0] == np.float32(0.01)
    assert_allclose(largest_move(state, after), 0.01, rtol=0.02)


REFUSED = [
    # What is wrong, and what the message has to say of it and of the way out.
    ({"num_envs": 0}, {}, ["num_envs = 0", "at least 1"]),
    ({"rollout_length": 0}, {}, ["rollout_length = 0", "at least 1"]),
    ({"epochs": 0}, {}, ["epochs = 0", "at least 1"]),
    ({"minibatches": 0}, {}, ["minibatches = 0", "at least 1"]),
    ({"max_skipped_updates": 0}, {}, ["max_skipped_updates = 0", "at least 1"]),
    ({"bptt_length": 0}, {}, ["bptt_length = 0", "at least 1"]),
    (
        {"bptt_length": 32},
        {},
        ["bptt_length = 32", "rollout_length = 16", "flow back further", "or lower"],
    ),
    ({"bptt_length": 5}, {}, ["not divisible by bptt_length = 5", "whole sequences", "1, 2, 4, 8, 16"]),
    (
        {"minibatches": 4},
        {},
        ["6 sequences", "4 equal minibatches", "3 · 16 / 8", "1, 2, 3, 6"],
    ),
    ({"discount": 1.5}, {}, ["discount = 1.5", "between 0.0 and 1.0"]),
    ({"gae_lambda": -0.1}, {}, ["gae_lambda = -0.1", "between 0.0 and 1.0"]),
    ({"learning_rate": 0.0}, {}, ["learning_rate = 0.0", "positive"]),
    ({"learning_rate": float("nan")}, {}, ["learning_rate = nan", "positive"]),
    ({"clip": -0.2}, {}, ["clip = -0.2", "positive"]),
    ({"value_clip": 0.0}, {}, ["value_clip = 0.0", "leave it out"]),
    ({"gradient_clip": -1.0}, {}, ["gradient_clip = -1.0", "leave it out"]),
    ({"target_kl": 0.0}, {}, ["target_kl = 0.0", "leave it out"]),
    ({}, {"encoder": (4, 0)}, ["encoder = [4, 0]", "at least 1"]),
    ({}, {"activation": "tanhh"}, ["activation = 'tanhh'", "tanh and relu"]),
    ({}, {"memory": "gruu"}, ["gruu", "Did you mean 'gru'?"]),
    ({}, {"memory_options": {"chronos": 3.0}}, ["chronos", "Did you mean 'chrono'?"]),
    ({}, {"memory_options": {"chrono": "3"}}, ["chrono", "'3'", "float"]),
    ({}, {"hidden_size": 0}, ["hidden_size", "0"]),
    ({}, {"num_layers": 0}, ["num_layers", "0"]),
]


@pytest.mark.parametrize(("ppo", "network", "words"), REFUSED, ids=[str({**p, **n}) for p, n, _ in REFUSED])
def test_what_cannot_work_is_refused_before_anything_is_compiled_or_written(ppo, network, words, tmp_path, monkeypatch):
    def compiled(*_):
        raise AssertionError("something was compiled")

    monkeypatch.setattr(PPO, "init", compiled)
    monkeypatch.setattr(import_module("throughtime.runs.train"), "compile_chunk", compiled)
    config = RunConfig(EnvConfig("t-maze", {"length": 2}), replace(NETWORK, **network), replace(CONFIG, **ppo))
    with pytest.raises(ConfigError) as refusal:
        run_training(config, tmp_path / "run")
    for word in words:
        assert word in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_way_of_clipping_is_refused_also_where_types_are_not_checked():
    config = replace(CONFIG)
    object.__setattr__(config, "gradient_clip_by", "nrom")
    with pytest.raises(ConfigError, match=r"gradient_clip_by = 'nrom'(.|\n)*Did you mean 'norm'\?"):
        PPO(Clock(), config, NETWORK)


def test_a_budget_below_one_iteration_is_refused(tmp_path):
    config = RunConfig(EnvConfig("t-maze", {"length": 2}), NETWORK, CONFIG, total_steps=47)
    with pytest.raises(ConfigError) as refusal:
        run_training(config, tmp_path / "run")
    for word in ("total_steps = 47", "num_envs · rollout_length = 48", "Raise total_steps"):
        assert word in str(refusal.value)
    assert not (tmp_path / "run").exists()
    assert replace(config, total_steps=95).iterations == 1
