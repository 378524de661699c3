"""Agents in an environment with action masks: what is forbidden is never done, and what is learned knows of it."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from boundary import quick_jit
from throughtime.agents import PPO, R2D2, NetworkConfig, Policy, PPOConfig, R2D2Config
from throughtime.agents.estimator import Estimator, EstimatorConfig, FrozenMemory, random_history
from throughtime.agents.off_policy import Start, play
from throughtime.agents.preflight import FAULT_NONE
from throughtime.agents.q_loss import burn_in, targets
from throughtime.agents.r2d2 import explore
from throughtime.agents.rollout import collect, move, start
from throughtime.core import ConfigError
from throughtime.envs import Box, Chunks, Discrete, Environment, MultiDiscrete, Revealed, VectorEnvironment
from throughtime.proof.evidence import memory_horizon, record
from throughtime.proof.memcheck import StatefulEnvironments, check_environment, memcheck
from throughtime.runs.acting import act, begin

pytestmark = pytest.mark.usefixtures("quick_compiler")

FORBIDDEN_REWARD = -1000.0
ITERATIONS = 3


class GatesState(NamedTuple):
    mask: jax.Array
    serial: jax.Array
    time: jax.Array


@dataclass(frozen=True)
class Gates(Environment[GatesState, None]):
    """Random gates are open at each step; going through a closed one costs 1,000, else the gate's number is paid.

    Observation `[serial / 10, time / 10, mask]`. Of ten episodes five terminate and five are truncated. In the one with
    `serial == shut` no gate (of several rows, none of the first) is open at the second step.
    """

    sizes: tuple[int, ...] = (5,)
    shut: int = -1

    name, default_params, max_episode_steps, action_mask = "gates", None, 6, True

    @property
    def observation_space(self):
        return Box(0.0, 1.0, (2 + sum(self.sizes),))

    @property
    def action_space(self):
        return Discrete(self.sizes[0]) if len(self.sizes) == 1 else MultiDiscrete(self.sizes)

    def reset_env(self, key, params):
        key_serial, key_mask = jax.random.split(key)
        return self._seen(self._next(key_mask, jax.random.randint(key_serial, (), 0, 10), jnp.int32(0)))

    def step_env(self, key, state, action, params):
        starts = np.cumsum((0, *self.sizes[:-1]))
        allowed = jnp.all(state.mask[action.reshape(-1) + starts])
        reward = jnp.where(allowed, jnp.sum(action).astype(jnp.float32), FORBIDDEN_REWARD)
        obs, after = self._seen(self._next(key, state.serial, state.time + 1))
        return obs, after, reward, (after.time >= 3 + after.serial % 3) & (after.serial < 5), {}

    def is_truncated(self, state, params):
        return (state.time >= 3 + state.serial % 3) & (state.serial >= 5)

    def hidden_state(self, state):
        return state.time

    def _next(self, key, serial, time):
        masks = []
        for k, n in zip(jax.random.split(key, len(self.sizes)), self.sizes, strict=True):
            scores = jax.random.uniform(k, (n,))
            masks.append((scores < 0.5) | (scores == scores.min()))
        masks[0] &= ~((serial == self.shut) & (time == 1))
        return GatesState(jnp.concatenate(masks), serial, time)

    def _seen(self, state):
        counts = jnp.stack([state.serial, state.time]).astype(jnp.float32) / 10
        return jnp.concatenate([counts, state.mask.astype(jnp.float32)]), state


NETWORK = NetworkConfig(memory="gru", hidden_size=4, encoder=(3,), previous_action=True, normalise_observations=True)
SIZES = {"num_envs": 4, "rollout_length": 16}
CONFIG = PPOConfig(**SIZES, bptt_length=8, minibatches=2, epochs=2, learning_rate=0.01)
R2D2_CONFIG = R2D2Config(**SIZES, period=4, burn_in=4, bptt_length=7, batch_size=8, replay_steps=4 * 64, n_step=2)
R2D2_CONFIG = replace(R2D2_CONFIG, learning_starts=0, updates=1, refresh=False)
SMALL = NetworkConfig(memory="elman", hidden_size=4, encoder=(), normalise_observations=True)


def randomised(network, scale, seed):
    """The same network with normal weights."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(scale * rng.normal(size=x.shape), x.dtype), network)


def random_policy(env, config=NETWORK, scale=1.0):
    """A policy far from uniform."""
    policy = Policy(env, config, jax.random.key(0))
    return eqx.tree_at(lambda p: p.network, policy, randomised(policy.network, scale, 0))


def unmasked(network):
    """The same weights, all actions allowed."""
    free = jax.tree.map(lambda x: x, network)
    object.__setattr__(free, "mask", None)
    return free


@pytest.fixture(scope="module", params=["ppo", "r2d2"])
def trained(request):
    """Some iterations of each agent: (agent, the last state, metrics of each iteration)."""
    agent: Any = PPO(Gates(), CONFIG, NETWORK) if request.param == "ppo" else R2D2(Gates(), R2D2_CONFIG, SMALL)
    iterate, state, rows = quick_jit(agent.iterate), quick_jit(agent.init)(0), []
    for _ in range(ITERATIONS):
        state, metrics, fault = iterate(state, jnp.int32(ITERATIONS), jnp.int32(0))
        assert int(fault.kind) == FAULT_NONE
        rows.append(jax.device_get(metrics))
    return agent, state, rows


def test_nothing_forbidden_is_done_in_training(trained):
    _, state, rows = trained
    assert sum(row.episodes for row in rows) > 20
    assert min(row.episode_return for row in rows) > 0
    for leaf in jax.tree.leaves(eqx.filter(state.policy.network, eqx.is_inexact_array)):
        assert np.isfinite(leaf).all()
    assert all(np.isfinite(x).all() for row in rows for x in row if x is not None)


def test_training_replays_what_was_done(trained):
    agent, _, rows = trained
    if isinstance(agent, PPO):
        assert max(row.first_ratio_error for row in rows) <= 1e-5
        assert min(row.entropy for row in rows) > 0.1
    else:
        assert max(row.replay_error for row in rows) <= 1e-5


@pytest.mark.parametrize("drawn", [False, True])
def test_nothing_forbidden_is_done_in_evaluation(trained, drawn):
    policy, env = trained[1].policy, VectorEnvironment(Gates(), 16)

    @quick_jit
    def run():
        def body(acting, key):
            noise = policy.noise(key, (16,)) if drawn else None
            acting, acted = act(policy, env, acting, key, noise)
            return acting, acted.reward

        keys = jax.random.split(jax.random.key(1), 30)
        return jax.lax.scan(body, begin(policy, env, jax.random.key(0)), keys)[1]

    assert run().min() >= 0


def test_a_saved_policy_reads_the_mask_from_the_observation(trained):
    policy = trained[1].policy
    observation = jnp.array([[0.3, 0.1, *mask] for mask in np.eye(5)], jnp.float32)
    _, action = policy.act(policy.initial_state(5), observation, [True] * 5)
    assert_array_equal(action, np.arange(5))


def test_only_what_is_seen_is_normalised(trained):
    policy = trained[1].policy
    assert policy.observation_moments.mean.shape == (2,)
    observation = jnp.array([[0.3, 0.1, 1, 0, 0, 1, 0]], jnp.float32)
    x = np.asarray(policy.inputs(policy.initial_state(1), observation, jnp.ones(1, bool), None))
    assert_array_equal(x[0, 2:7], observation[0, 2:])
    assert (x[0, :2] != observation[0, :2]).all()


def masked_softmax(logits, allowed):
    weight = np.where(allowed, np.exp(logits.astype(np.float64)), 0.0)
    return weight / weight.sum(axis=-1, keepdims=True)


def test_step_and_unroll_restrict_the_same_logits():
    """The network without its mask says the logits; NumPy masks them."""
    policy = random_policy(Gates(), NETWORK)
    rng = np.random.default_rng(1)
    mask = rng.permuted(np.arange(5) < rng.integers(1, 6, (6, 3, 1)), axis=2)
    seen, before = rng.normal(size=(6, 3, 2)), np.eye(5)[rng.integers(5, size=(6, 3))]
    xs = jnp.asarray(np.concatenate([seen, mask, before], axis=2), jnp.float32)
    resets = jnp.zeros((6, 3), bool)
    state = policy.network.initial_state(3)

    @quick_jit
    def run(state):
        _, distribution, values = policy.network.unroll(state, xs, resets)
        _, free, same_values = unmasked(policy.network).unroll(state, xs, resets)
        return distribution, values, free, same_values, jax.lax.scan(step, state, xs)[1]

    def step(state, x):
        state, *said = policy.network.step(state, x)
        return state, said

    distribution, values, free, same_values, (stepped, stepped_values) = run(state)
    p = masked_softmax(np.asarray(free.logits), mask)
    log_p = np.log(np.where(p > 0, p, 1.0))
    assert_allclose(np.exp(jax.nn.log_softmax(distribution.logits)), p, atol=1e-5)
    assert_allclose(distribution.entropy(), -(p * log_p).sum(axis=-1), atol=1e-5)
    assert_allclose(values, same_values, rtol=1e-6)
    assert_allclose(stepped.logits, distribution.logits, rtol=1e-5, atol=1e-5)
    assert_allclose(stepped_values, values, rtol=1e-5, atol=1e-6)


def test_gradients_are_finite_where_one_action_is_left():
    policy = random_policy(Gates(), scale=10.0)
    xs = jnp.asarray(np.tile([[0.3, 0.1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]], (4, 2, 1)), jnp.float32)

    def loss(network):
        _, distribution, values = network.unroll(network.initial_state(2), xs, jnp.zeros((4, 2), bool))
        chosen = distribution.log_prob(jnp.full((4, 2), 2))
        return jnp.sum(distribution.entropy() + chosen + distribution.kl(distribution)) + jnp.sum(values)

    value, gradient = quick_jit(jax.value_and_grad(loss))(policy.network)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.fixture(scope="module")
def explored():
    """Random exploration of a policy without memory, so that inputs can be read one by one: (agent, policy, played)."""
    config = replace(R2D2_CONFIG, burn_in=0, discount=0.9, rescale=False)
    agent = R2D2(Gates(), config, NetworkConfig(memory="none", encoder=(6,)))
    policy = agent.fresh_policy(jax.random.key(0))

    @quick_jit
    def run():
        actors = start(policy, agent.environments, jax.random.key(3))
        choose = partial(explore, epsilon=jnp.ones(4))
        return play(policy, agent.environments, actors, jax.random.key(1), choose, length=400, period=4)[1]

    return agent, policy, run()


def test_random_exploration_is_uniform_over_what_is_allowed(explored):
    steps = explored[2].steps
    assert steps.reward.min() >= 0
    mask, action = np.asarray(steps.observation[..., 2:]), np.asarray(steps.action)
    first, chance = mask.argmax(axis=-1) == action, 1 / mask.sum(axis=-1)
    assert abs((first - chance).sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())


@pytest.mark.parametrize("double", [True, False])
def test_targets_bootstrap_from_allowed_actions_alone(explored, double):
    """Against NumPy, from the same networks' Q-values without masks."""
    agent, policy, played = explored
    config = replace(agent.config, double=double)
    online, target = randomised(policy.network, 1.0, 0), randomised(policy.network, 1.0, 1)
    steps = jax.tree.map(lambda x: x[:32], played.steps)
    first: Start = jax.tree.map(lambda x: x[0], played.starts)

    @quick_jit
    def said():
        batch = burn_in(policy, online, target, first, steps, 0)
        q = online.unroll_q(batch.start, batch.inputs, steps.reset)[1]
        raw = [
            unmasked(network).unroll_q(batch.start, xs, jnp.zeros_like(steps.reset))[1]
            for network in (online, target)
            for xs in (batch.inputs, batch.finals)
        ]
        return targets(q, online, target, batch, config), raw

    made, (*online_q, at_inputs, at_finals) = jax.tree.map(np.asarray, said())
    finals = np.asarray(steps.truncated)[..., None]

    def following(inputs, finally_):
        return np.where(finals, finally_, np.roll(inputs, -1, axis=0))

    mask = following(steps.observation[..., 2:], steps.final_observation[..., 2:]) > 0.5
    valued = np.where(mask, following(at_inputs, at_finals), -np.inf)
    chosen = np.where(mask, following(*online_q), -np.inf) if double else valued
    best = np.take_along_axis(valued, chosen.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    reward, terminated, truncated = (np.asarray(x) for x in (steps.reward, steps.terminated, steps.truncated))
    expected = np.zeros((31, 4))
    for t, b in np.ndindex(31, 4):
        G, weight, last = 0.0, 1.0, min(t + config.n_step, 31) - 1
        for k in range(t, last + 1):
            G, weight = G + weight * reward[k, b], weight * 0.9
            if terminated[k, b] or truncated[k, b] or k == last:
                G += 0.0 if terminated[k, b] else weight * best[k, b]
                break
        expected[t, b] = G
    assert truncated[:-1].any()
    assert_allclose(made, expected, rtol=1e-4, atol=1e-4)


def test_several_actions_side_by_side_are_masked_each():
    env = VectorEnvironment(Gates((3, 2)), 8)
    policy = random_policy(env.env, SMALL, scale=3.0)
    actors = start(policy, env, jax.random.key(0))
    _, rollout, _, _ = quick_jit(lambda a: collect(policy, env, a, jax.random.key(1), 100, 100))(actors)
    assert rollout.rewards.min() >= 0
    assert np.isfinite(rollout.log_probs).all()


@pytest.mark.parametrize("sizes", [(5,), (3, 2)])
def test_a_step_without_any_action_is_a_fault(sizes):
    env = VectorEnvironment(Gates(sizes, shut=3), 64)
    policy = random_policy(env.env)
    actors = start(policy, env, jax.random.key(0))
    shut = np.asarray(actors.observation[:, 0]) == np.float32(0.3)
    assert shut.any()
    act_now = quick_jit(lambda a, action: move(policy, env, a, a.policy.network, action, jax.random.key(1))[2])
    parts = np.split(np.asarray(actors.observation[:, 2:]), np.cumsum(sizes)[:-1], axis=1)
    action = np.stack([part.argmax(axis=1) for part in parts], axis=1).reshape(64, *env.env.action_space.shape)
    assert_array_equal(act_now(actors, jnp.asarray(action, jnp.int32)), ~shut)


@pytest.mark.parametrize("wrapped", [Revealed(Gates()), Gates()], ids=["revealed", "frozen"])
def test_wrappers_keep_the_mask_at_the_end(wrapped):
    if isinstance(wrapped, Gates):
        estimator = Estimator(wrapped, SMALL, jax.random.key(0))
        history = random_history(wrapped, estimator, EstimatorConfig(rows=4, length=40), jax.random.key(1))
        assert history.rewards.min() >= 0
        wrapped = FrozenMemory(wrapped, estimator)
    obs, state = wrapped.reset(jax.random.key(0))
    inner = getattr(state, "environment", state)
    assert obs.shape == wrapped.observation_space.shape
    assert_array_equal(obs[-5:] > 0.5, inner.mask)
    obs, state, *_ = wrapped.step(jax.random.key(1), state, jnp.argmax(inner.mask).astype(jnp.int32))
    assert_array_equal(obs[-5:] > 0.5, getattr(state, "environment", state).mask)
    assert len(wrapped.observation_labels) == len(obs)
    assert wrapped.observation_labels[-1] == "may action 4"


def test_evidence_changes_what_differs_beside_the_mask():
    """Here all episodes see the same but for their masks, from the second step on: there is nothing to change."""

    @dataclass(frozen=True)
    class Alike(Gates):
        def _seen(self, state):
            obs, state = super()._seen(state)
            return obs.at[0].set(jnp.where(state.time == 0, obs[0], 0.0)), state

    policy = random_policy(Alike(), SMALL)
    effects = memory_horizon(policy, record(policy, Alike(), episodes=32)).effects
    assert np.isfinite(effects[0]).any()
    assert np.isnan(effects[1:]).all()


def test_memcheck_finds_nothing_wrong():
    assert memcheck(random_policy(Gates((3, 2)), SMALL), time=6, batch=3).passed
    environments = StatefulEnvironments(Gates(), 4)
    paid: list[np.ndarray] = []
    inner = environments.step
    environments.step = lambda actions: (paid.append((out := inner(actions))[1]), out)[1]
    assert not check_environment(environments, steps=200).broken
    assert np.min(paid) >= 0


def test_masks_that_do_not_fit_are_refused():
    @dataclass(frozen=True)
    class Continuous(Gates):
        action_space = Box(-1.0, 1.0, (2,))

    @dataclass(frozen=True)
    class Narrow(Gates):
        observation_space = Box(0.0, 1.0, (4,))

    for env, what in ((Continuous(), "its actions are a Box"), (Narrow(), "has 4 numbers, its action mask")):
        with pytest.raises(ConfigError, match=what):
            Policy(env, NETWORK, jax.random.key(0))
    with pytest.raises(ConfigError, match="allows only some of its actions"):
        Chunks(Gates(), 2)  # the mask of the first action would be read as that of both
