"""The tower that keeps a sentence, the network that an environment with one gets, and imitation by it."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.agents import Instruct, InstructConfig, NetworkConfig, Policy
from throughtime.agents.instructed import InstructedTower
from throughtime.core import ConfigError
from throughtime.envs import InstructionLayout, VectorEnvironment, make

pytestmark = pytest.mark.usefixtures("quick_compiler")
LAYOUT = InstructionLayout(words=3, vocabulary=5, cells=4, features=2)
T, B, WIDTH = 12, 6, 3 * 5 + 4 * 2 + 3
CONFIG = NetworkConfig(hidden_size=7, encoder=(6,))


def tower_of(memory="gru"):
    return InstructedTower(WIDTH, replace(CONFIG, memory=memory), jax.random.key(0), layout=LAYOUT)


@pytest.fixture(scope="module")
def sequences():
    """A sentence where an episode begins, and in two rows in the middle of one; one reset without a sentence."""
    keys = jax.random.split(jax.random.key(1), 3)
    words = jax.nn.one_hot(jax.random.randint(keys[0], (T, B, 3), 0, 5), 5).reshape(T, B, -1)
    resets = jax.random.bernoulli(keys[1], 0.1, (T, B)).at[:, 0].set(False).at[4, 1].set(True)
    says = resets.at[5, 2].set(True).at[4, 1].set(False)
    xs = jnp.concatenate([jnp.where(says[..., None], words, 0.0), jax.random.normal(keys[2], (T, B, 11))], axis=-1)
    return xs, resets, says


@pytest.mark.parametrize("memory", ["gru", "none"])
def test_unroll_is_step_by_step(sequences, memory):
    """The fast way, the general one, and the loop over `step`; few sentences and many."""
    xs, resets, _ = sequences
    tower = tower_of(memory)
    start = tower.initial_state(B)
    start = start._replace(said=start.said + 0.3)
    step = eqx.filter_jit(tower.step)
    unroll = eqx.filter_jit(tower.unroll)
    for x in (xs, xs.at[..., :15].set(jnp.tile(jax.nn.one_hot(1, 5), 3))):
        state, rows = start, []
        for t in range(T):
            fresh = tower.initial_state(B)
            state = jax.tree.map(lambda a, b: jnp.where(resets[t][:, None], a, b), fresh, state)  # noqa: B023
            state, y = step(state, x[t])
            rows.append(y)
        after, ys = unroll(start, x, resets)
        taps = jax.tree.map(lambda leaf: jnp.zeros((T, *leaf.shape)), start)
        general, zs = unroll(start, x, resets, taps)
        np.testing.assert_allclose(ys, jnp.stack(rows), atol=2e-6)
        np.testing.assert_allclose(zs, jnp.stack(rows), atol=2e-6)
        for a, b, c in zip(*(jax.tree.leaves(s) for s in (state, after, general)), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)
            np.testing.assert_allclose(a, c, atol=2e-6)


def test_both_ways_have_the_same_gradient(sequences):
    xs, resets, _ = sequences
    tower = tower_of()
    start = tower.initial_state(B)
    taps = jax.tree.map(lambda leaf: jnp.zeros((T, *leaf.shape)), start)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(tower, taps):
        return jnp.mean(jnp.sin(3 * tower.unroll(start, xs, resets, taps)[1]))

    for a, b in zip(jax.tree.leaves(gradient(tower, None)), jax.tree.leaves(gradient(tower, taps)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_what_was_said_stays_until_the_next_episode(sequences):
    """The same rooms under another sentence look different until the reset, and the same after it; a NaN too."""
    xs, resets, _ = sequences
    tower = tower_of()
    b = 2
    resets = resets.at[6:9, b].set(False).at[9, b].set(True)
    xs = xs.at[6:9, b, :15].set(0.0)
    xs = xs.at[9, b, :15].set(xs[5, b, :15])
    run = eqx.filter_jit(lambda x: tower.unroll(tower.initial_state(B), x, resets)[1])
    for other in (jnp.roll(xs[5, b, :15], 5), jnp.full(15, jnp.nan)):
        changed = xs.at[5, b, :15].set(other)
        same = np.isclose(run(xs), run(changed), atol=1e-7).all(axis=2)
        assert same[:5, b].all()
        assert not same[5:9, b].any()
        assert same[9:, b].all()
        assert np.delete(same, b, axis=1).all()

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(tower):
        ys = tower.unroll(tower.initial_state(B), xs.at[5, b, :15].set(jnp.nan), resets)[1]
        return jnp.sum(ys[9:, b] ** 2)

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(tower)))


def test_a_memoryless_twin_forgets_the_sentence():
    env = make("instructions")
    policy = Policy(env, NetworkConfig(memory="none", hidden_size=8, encoder=(8,)), jax.random.key(0))
    keeps = Policy(env, NetworkConfig(hidden_size=8, encoder=(8,)), jax.random.key(0))
    obs, _ = jax.jit(VectorEnvironment(env, 2).reset)(jax.random.key(3))
    later = jnp.broadcast_to(obs[:1].at[:, :216].set(0.0), obs.shape)
    for p, differs in ((policy, False), (keeps, True)):
        step = eqx.filter_jit(p.network.step)
        state, _, _ = step(p.network.initial_state(2), obs.at[:, 216:].set(obs[:1, 216:]))
        _, distribution, _ = step(state, later)
        assert (not np.allclose(distribution.logits[0], distribution.logits[1], atol=1e-7)) == differs


@pytest.fixture(scope="module")
def agent():
    config = InstructConfig(num_envs=8, rollout_length=8, minibatches=2, expert_decay=0.5, learning_rate=1e-2)
    return Instruct(make("instructions"), config, NetworkConfig(hidden_size=8, encoder=(8,), previous_action=True))


@pytest.fixture(scope="module")
def trained(agent):
    state = eqx.filter_jit(agent.init)(0)
    one = jnp.int32(1)
    gathered = eqx.filter_jit(agent.gather)(state)
    return state, gathered, eqx.filter_jit(agent.run)(state, 12 * one, 12 * one, 0 * one, 16)


def test_the_expert_leads_and_is_asked(agent, trained):
    """In the first iteration it takes every step; what it says is what the planner says of those states."""
    state, gathered, (_, metrics, count, fault) = trained
    assert (gathered.rollout.actions == gathered.rollout.wanted).all()
    assert int(count) == 12
    assert int(fault.kind) == 0
    np.testing.assert_allclose(metrics.expert_share[:12], 0.5 ** np.arange(12), rtol=1e-5)
    assert (np.asarray(metrics.first_ratio_error[:12]) < 1e-5).all()
    wanted = jax.jit(jax.vmap(agent.env.expert))(state.actors.environment)
    np.testing.assert_array_equal(gathered.rollout.wanted[0], wanted)


def test_the_loss_is_the_cross_entropy_of_the_expert(agent, trained):
    """Against NumPy; and its gradient teaches the expert's action, not the one taken."""
    _, gathered, (after, *_) = trained
    batch = gathered.sequences
    network = after.policy.network
    _, distribution, values = eqx.filter_jit(network.unroll)(batch.starts, batch.inputs, batch.resets)
    logits = np.asarray(distribution.logits, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p, np.asarray(batch.wanted)[..., None], -1)[..., 0]
    critic = 0.5 * np.mean((np.asarray(values) - np.asarray(batch.targets)) ** 2)
    loss, info = agent.loss_of(distribution, values, batch)
    np.testing.assert_allclose(info["policy_loss"], -chosen.mean(), rtol=1e-5)
    np.testing.assert_allclose(loss, -chosen.mean() + 0.1 * critic, rtol=1e-4)
    np.testing.assert_allclose(info["clip_fraction"], (log_p.argmax(-1) == np.asarray(batch.wanted)).mean(), rtol=1e-5)


def test_who_is_to_be_imitated():
    with pytest.raises(ConfigError, match="no expert"):
        Instruct(make("tiger"), InstructConfig(), NetworkConfig())
    with pytest.raises(ConfigError, match="expert_decay"):
        InstructConfig(expert_decay=1.5)


def test_normalising_leaves_words_alone():
    """Standardised, a zero is no zero any more, and each step would say something."""
    env = make("instructions")
    policy = Policy(env, replace(CONFIG, normalise_observations=True), jax.random.key(0))
    words = env.instruction_layout.words * env.instruction_layout.vocabulary
    observations = jax.random.uniform(jax.random.key(1), (4, 3, env.observation_space.shape[0])).at[..., :words].set(0)
    policy = policy.observe(observations.at[0, :, :2].set(1.0))
    x = policy.inputs(policy.initial_state(3), observations[1], jnp.zeros(3, bool), None)
    np.testing.assert_array_equal(x[:, :words], 0)
    mean, std = (np.asarray(f(observations[..., words:], (0, 1))) for f in (jnp.mean, jnp.std))
    np.testing.assert_allclose(
        x[:, words:], (np.asarray(observations)[1][:, words:] - mean) / std, rtol=1e-3, atol=1e-3
    )
